// What people see: colours, a progress line and tables on a terminal, plain text when piped or when NO_COLOR is set.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

// `text` in the colour of a status or verdict name ("pass", "MATCH" green; "skip", "DRIFT" yellow; "fail", "WRONG"
// red), when `stream` is a terminal that may show colours or FORCE_COLOR says so; else `text`.
std::string Colorized(std::string_view name, const std::string& text, std::FILE* stream);

// One line on stderr, rewritten in place; nothing unless stderr is a terminal. The line is gone when the object is.
class ProgressLine {
 public:
  explicit ProgressLine(bool wanted = true);
  ~ProgressLine() { Clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void Show(const std::string& text);
  void Clear();
  bool on_terminal() const { return width_ > 0; }

 private:
  std::size_t width_ = 0;  // 0: not a terminal
  bool shown_ = false;
};

// Columns as wide as their widest cell. Columns marked '>' in `align` are right-aligned.
class Table {
 public:
  Table(std::string align, std::vector<std::string> header);
  // Each cell in the colour of the name beside it; without names, of its own if it is a status or verdict.
  void Add(std::vector<std::string> cells, std::vector<std::string> colours = {});
  // The header has no colour.
  void Print(std::FILE* out) const;

 private:
  std::string align_;
  std::vector<std::vector<std::string>> rows_, colours_;
};

// Lines of at most 160 columns that end in a newline, each after `indent` spaces; words are kept whole where they fit.
std::string Wrapped(const std::string& text, std::size_t indent);

// "1.5 GiB", "12 B".
std::string HumanBytes(double bytes);

}  // namespace assay

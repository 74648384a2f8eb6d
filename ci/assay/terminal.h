// What people see: colours, a progress line and tables on a terminal, plain text when piped or when NO_COLOR is set.
#pragma once

#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/text/foreign.h"

namespace assay {

// Text that a terminal may get as it is, because this program made it: colours, tables, wrapped lines.
struct Shown {
  std::string text;
};

// Text that nobody could use if it were cut: a line to be pasted.
struct Uncut {
  std::string_view text;
};

// How an argument of Tell is shown: text may be anybody's, and is made printable and cut.
template <class Value>
decltype(auto) ForPeople(const Value& value) {
  if constexpr (std::is_same_v<Value, Shown>)
    return std::string_view(value.text);
  else if constexpr (std::is_convertible_v<const Value&, std::string_view>)
    return AsMessage(value);
  else if constexpr (std::is_same_v<Value, Uncut>)
    return Printable(value.text);
  else
    return (value);
}
template <class Value>
using ForPeopleType = decltype(ForPeople(std::declval<const Value&>()));

// The only way to standard output and error, with WriteOut and Complain.
template <class... Values>
void Tell(std::FILE* out, fmt::format_string<ForPeopleType<Values>...> text, const Values&... values) {
  fmt::print(out, text, ForPeople(values)...);
}
template <class... Values>
void Tell(fmt::format_string<ForPeopleType<Values>...> text, const Values&... values) {
  fmt::print(stdout, text, ForPeople(values)...);
}

// For other programs: JSON, exports, scripts.
void WriteOut(std::string_view text);

// "assay: " and a line on standard error, cut as AsMessage says. Never throws: standard error may be what cannot be
// written.
void Complain(std::string_view message);

// `text` in the colour of a status or verdict name ("pass", "MATCH" green; "skip", "DRIFT" yellow; "fail", "WRONG"
// red), when `stream` is a terminal that may show colours or FORCE_COLOR says so; else `text`.
Shown Colorized(std::string_view name, std::string_view text, std::FILE* stream);

// One line on stderr, rewritten in place; nothing unless stderr is a terminal. The line is gone when the object is.
class ProgressLine {
 public:
  explicit ProgressLine(bool wanted = true);
  ~ProgressLine() { Clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void Show(const std::string& foreign);
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
Shown Wrapped(std::string_view text, std::size_t indent);

// "1.5 GiB", "12 B".
std::string HumanBytes(double bytes);

}  // namespace assay

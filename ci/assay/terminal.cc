#include "ci/assay/terminal.h"

#include <fmt/color.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <new>

namespace assay {
namespace {

fmt::terminal_color ColourOf(std::string_view name) {
  for (const std::string_view good : {"pass", "PASS", "MATCH"})
    if (name == good) return fmt::terminal_color::green;
  for (const std::string_view bad : {"fail", "FAIL", "error", "WRONG"})
    if (name == bad) return fmt::terminal_color::red;
  return fmt::terminal_color::yellow;
}

bool IsName(std::string_view text) {
  for (const std::string_view name : {"pass", "PASS", "MATCH", "skip", "unstable", "DRIFT", "TIE_FLIP", "VOID",
                                      "INCOMPLETE", "INCONCLUSIVE", "fail", "FAIL", "error", "WRONG"})
    if (text == name) return true;
  return false;
}

bool MayColour(std::FILE* stream) {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  if (no_color != nullptr && *no_color != '\0') return false;
  for (const char* name : {"FORCE_COLOR", "CLICOLOR_FORCE"}) {
    const char* forced = std::getenv(name);
    if (forced != nullptr && *forced != '\0') return std::string_view(forced) != "0";
  }
  return (term == nullptr || std::string_view(term) != "dumb") && ::isatty(::fileno(stream)) != 0;
}

// Columns on a terminal: bytes that continue a UTF-8 sequence take none.
std::size_t Columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }));
}

}  // namespace

void WriteOut(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void Complain(std::string_view message) {
  try {
    std::fputs(("assay: " + AsMessage(message) + "\n").c_str(), stderr);
  } catch (const std::bad_alloc&) {
    std::fputs("assay: no memory\n", stderr);
  }
}

Shown Colorized(std::string_view name, std::string_view text, std::FILE* stream) {
  if (!IsName(name) || !MayColour(stream)) return {Printable(text)};
  return {fmt::format(fmt::fg(ColourOf(name)), "{}", Printable(text))};
}

ProgressLine::ProgressLine(bool wanted) {
  winsize size{};
  if (!wanted || ::isatty(STDERR_FILENO) == 0) return;
  width_ = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1u : 79u;
}

void ProgressLine::Show(const std::string& foreign) {
  if (width_ == 0) return;
  const std::string text = Printable(foreign);
  std::size_t bytes = std::min(text.size(), width_);
  while (bytes > 0 && bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xc0u) == 0x80u) --bytes;
  fmt::print(stderr, "\r\033[K{}", text.substr(0, bytes));
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::Clear() {
  if (shown_) fmt::print(stderr, "\r\033[K");
  shown_ = false;
}

Table::Table(std::string align, std::vector<std::string> header) : align_(std::move(align)) { Add(std::move(header)); }

void Table::Add(std::vector<std::string> cells, std::vector<std::string> colours) {
  if (colours.empty()) colours = rows_.empty() ? std::vector<std::string>(cells.size()) : cells;
  for (std::string& cell : cells) cell = AsMessage(cell);
  rows_.push_back(std::move(cells));
  colours_.push_back(std::move(colours));
}

void Table::Print(std::FILE* out) const {
  std::vector<std::size_t> widths(rows_.front().size(), 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i]));
  }
  for (std::size_t at = 0; at < rows_.size(); ++at) {
    const auto& row = rows_[at];
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string fill(widths[i] - Columns(row[i]), ' '), cell = Colorized(colours_[at][i], row[i], out).text;
      line += (i == 0 ? "" : "  ") + (align_[i] == '>' ? fill + cell : cell + fill);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    fmt::print(out, "{}\n", line);
  }
}

Shown Wrapped(std::string_view foreign, std::size_t indent) {
  constexpr std::size_t kColumns = 160;
  std::string text, lines;
  for (std::size_t at = 0; at <= foreign.size();) {
    const std::size_t end = std::min(foreign.find('\n', at), foreign.size());
    text += (at == 0 ? "" : "\n") + Printable(foreign.substr(at, end - at));
    at = end + 1;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t room = kColumns - indent, newline = text.find('\n', at);
    std::size_t end = std::min({text.size(), at + room, newline});
    if (end < text.size() && text[end] != '\n') {
      const std::size_t space = text.rfind(' ', end);
      if (space != std::string::npos && space > at) end = space;
    }
    lines += std::string(indent, ' ') + text.substr(at, end - at) + "\n";
    at = end;
    while (at < text.size() && (text[at] == ' ' || text[at] == '\n')) ++at;
  }
  return {lines};
}

std::string HumanBytes(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, kUnits[unit]);
}

}  // namespace assay

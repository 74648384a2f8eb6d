#include "engine/text/shell.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "engine/text/foreign.h"

namespace assay {
namespace {

constexpr std::string_view kPrintf = "\"$(printf '", kPrintfEnd = "')\"";

bool IsPlain(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("_-./:,+=@").find(c) != std::string_view::npos;
}

// As octal escapes of printf, but for characters that mean nothing to anybody.
std::string ForPrintf(std::string_view word) {
  std::string text(kPrintf);
  // A leading dash would be an option.
  for (std::size_t i = 0; i < word.size(); ++i)
    if (IsPlain(word[i]) && (i > 0 || word[i] != '-'))
      text += word[i];
    else if (word[i] == '%')
      text += "%%";  // some shells look for conversions after escapes
    else
      text += fmt::format("\\{:03o}", static_cast<unsigned char>(word[i]));
  if (word.ends_with('\n')) text += "/.";
  return text.append(kPrintfEnd);
}

// What printf makes of the text of ForPrintf, which ends at `kPrintfEnd`.
std::string OfPrintf(std::string_view text) {
  std::string word;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 3 >= text.size()) {
      word += text[i];
      if (text.substr(i).starts_with("%%")) ++i;
      continue;
    }
    word += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
    i += 3;
  }
  return word;
}

}  // namespace

std::string Quoted(std::string_view word) {
  // zsh takes a leading = for the path of a command.
  if (!word.empty() && word[0] != '=' && std::all_of(word.begin(), word.end(), IsPlain)) return std::string(word);
  if (Printable(word) != word) return ForPrintf(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

std::vector<std::string> Words(std::string_view line) {
  std::vector<std::string> words(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const std::size_t end = line.find(kPrintfEnd, i);
    if (!quoted && line.substr(i).starts_with(kPrintf) && end != std::string_view::npos) {
      words.back() += OfPrintf(line.substr(i + kPrintf.size(), end - i - kPrintf.size()));
      i = end + kPrintfEnd.size() - 1;
    } else if (line[i] == '\'') {
      quoted = !quoted;
    } else if (!quoted && line[i] == '\\' && i + 1 < line.size()) {
      words.back() += line[++i];
    } else if (!quoted && line[i] == ' ') {
      words.emplace_back();
    } else {
      words.back() += line[i];
    }
  }
  return words;
}

}  // namespace assay

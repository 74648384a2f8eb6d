#include "reports/page/html.h"

#include <fmt/core.h>

#include <cstdint>

#include "reports/render/export_text.h"

namespace assay {
namespace {

// Marks, embeddings, overrides and isolates of direction; zero-width characters; separators of lines; byte order mark.
bool IsUnseen(std::uint32_t code) {
  return code == 0x061C || (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x2069) || code == 0xFEFF;
}

}  // namespace

std::string Visible(std::string_view text, std::size_t most) {
  // What is cut anyway is not looked at: a text may be long.
  const std::string line = OneLine(text.substr(0, 4 * most));
  std::string shown;
  for (std::size_t i = 0; i < line.size();) {
    const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(line[at])); };
    const std::size_t bytes = byte(i) < 0x80 ? 1 : byte(i) >= 0xF0 ? 4 : byte(i) >= 0xE0 ? 3 : 2;
    const std::uint32_t code = bytes == 3 ? (byte(i) & 0x0Fu) << 12 | (byte(i + 1) & 0x3Fu) << 6 | (byte(i + 2) & 0x3Fu)
                               : bytes == 2 ? (byte(i) & 0x1Fu) << 6 | (byte(i + 1) & 0x3Fu)
                                            : byte(i);
    if (bytes < 4 && IsUnseen(code))
      shown += fmt::format("\\u{:04X}", code);
    else
      shown += line.substr(i, bytes);
    i += bytes;
  }
  if (text.size() > 4 * most) shown += "...";
  return Cut(std::move(shown), most);
}

std::string Html(std::string_view text, std::size_t most) {
  std::string escaped;
  for (const char c : Visible(text, most)) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace assay

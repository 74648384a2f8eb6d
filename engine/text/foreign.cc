#include "engine/text/foreign.h"

#include <fmt/core.h>

#include <algorithm>

namespace assay {
namespace {

constexpr std::size_t kLongestPiece = 160, kLongestMessage = 2000;

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

}  // namespace

bool IsControl(std::uint32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

bool IsHidden(std::uint32_t code) {
  constexpr struct {
    std::uint32_t first, last;
  } kRanges[] = {{0xAD, 0xAD},     {0x61C, 0x61C},   {0x115F, 0x1160}, {0x180E, 0x180E},  {0x200B, 0x200F},
                 {0x2028, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164}, {0xFE00, 0xFE0F},  {0xFEFF, 0xFEFF},
                 {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0xFFFE, 0xFFFF}, {0xE0000, 0xE0FFF}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [&](const auto& range) { return code >= range.first && code <= range.last; });
}

Character FirstCharacter(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  if (byte(0) < 0x80) return {byte(0), 1, true};
  const std::size_t bytes = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < bytes) return {};
  std::uint32_t code = byte(0) & (0x7Fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if (!Continues(text[i])) return {};
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kLeast[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, bytes, true};
}

std::string Printable(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const Character first = FirstCharacter(text);
    if (!first.valid)
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    else if (first.code == '\n')
      shown += "\\n";
    else if (first.code == '\t')
      shown += "\\t";
    else if (IsControl(first.code))
      shown += fmt::format("\\x{:02x}", first.code);
    else if (IsHidden(first.code))
      shown += fmt::format("\\u{:04x}", first.code);
    else
      shown += text.substr(0, first.bytes);
    text.remove_prefix(first.bytes);
  }
  return shown;
}

std::string Shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  constexpr std::size_t kMark = 40;  // longer than any "[... 123 bytes ...]"
  std::size_t head = most > kMark ? (most - kMark) * 2 / 3 : 0,
              tail = text.size() - (most > kMark ? (most - kMark) / 3 : 0);
  while (head > 0 && Continues(text[head])) --head;
  while (tail < text.size() && Continues(text[tail])) ++tail;
  return fmt::format("{}[... {} bytes ...]{}", text.substr(0, head), tail - head, text.substr(tail));
}

std::string ForMessage(std::string_view text) {
  // Before it is escaped as well: an escape is up to four times as long.
  return Shortened(Printable(Shortened(text, kLongestPiece)), kLongestPiece);
}

std::string AsMessage(std::string_view text) { return Shortened(Printable(text), kLongestMessage); }

}  // namespace assay

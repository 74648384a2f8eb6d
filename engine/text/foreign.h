// Text that somebody else wrote (names in files, paths, arguments, output of programs) as people may see it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace assay {

struct Character {
  std::uint32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};
// The first character of `text`, which is not empty, as UTF-8. Overlong forms, surrogates and what is beyond Unicode
// are not valid; they are one byte.
Character FirstCharacter(std::string_view text);

// Control characters, those from U+0080 on among them.
bool IsControl(std::uint32_t code);
// Characters without a shape of their own: marks of direction, separators of lines, joiners, fillers, tags.
bool IsHidden(std::uint32_t code);

// Nothing that a terminal obeys or that changes how the rest is read: control characters and bytes that are no UTF-8
// stand as "\x1b" ("\n" for a line's end, "\t" for a tab), marks that turn or hide text as "\u202e". One line.
std::string Printable(std::string_view text);

// At most `most` bytes, not through a character: both ends, and how much of the middle was left out.
std::string Shortened(std::string_view text, std::size_t most);

// A piece of foreign text within a message: printable, at most 160 bytes of it.
std::string ForMessage(std::string_view text);
// A whole message: printable, at most 2000 bytes.
std::string AsMessage(std::string_view text);

}  // namespace assay

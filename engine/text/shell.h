// Words of a line for a POSIX shell.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace assay {

// A word that bash, dash and zsh read as `word`, of printable characters alone: as it is, between single quotes, or as
// "$(printf '...')" where it holds what a terminal obeys or what is no UTF-8. A line's end at the end of a word cannot
// be said so: "/." follows it, which names the same folder.
std::string Quoted(std::string_view word);

// The words of a line that Quoted wrote.
std::vector<std::string> Words(std::string_view line);

}  // namespace assay

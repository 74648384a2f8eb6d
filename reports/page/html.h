// Text of reports as HTML and SVG take it. Names and messages come from files that anybody made.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace assay {

inline constexpr std::size_t kLongestShown = 300;  // bytes of a text on the page

// One line of at most kLongestShown bytes of valid UTF-8, in which characters that turn the direction of text around or
// have no shape stand as "\u202E".
std::string Visible(std::string_view text, std::size_t most = kLongestShown);

// Visible, for the content of elements and for attributes in quotes.
std::string Html(std::string_view text, std::size_t most = kLongestShown);

}  // namespace assay

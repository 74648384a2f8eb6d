// What is built into the program for the page: its own style and script, and dygraphs.
#pragma once

#include <string_view>

namespace assay {

std::string_view PageStyle();
std::string_view PageScript();
std::string_view DygraphsStyle();
std::string_view DygraphsScript();  // with its licence in front

}  // namespace assay

// assay(1), made of the options that the command itself parses.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace assay {

// The page as roff, for man(1).
std::string ManualPage(const CLI::App& app, const std::string& version);

}  // namespace assay

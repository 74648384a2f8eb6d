// Shell completion, made of the options that the command itself parses.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace assay {

// A script for "bash", "zsh" or "fish" that completes commands, options, suites, models and files.
std::string CompletionScript(const std::string& shell, const CLI::App& app);

}  // namespace assay

// Names that a person typed, held against those that exist: wildcards, and a hint where nothing matches.
#pragma once

#include <string>
#include <vector>

namespace assay {

// "; did you mean 'Prefill'?" when a known name is near to `typed`, else nothing.
std::string DidYouMean(const std::string& typed, const std::vector<std::string>& known);

// The known names that `patterns` name, in the order of the patterns, each once. Throws InputError that lists what
// there is, and the nearest, for a pattern that names none: "suite 'Prefil': expected one of ...".
std::vector<std::string> MatchNames(const char* kind, const std::vector<std::string>& patterns,
                                    const std::vector<std::string>& known);

}  // namespace assay

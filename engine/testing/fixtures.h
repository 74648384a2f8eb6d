// The files that tests read.
#pragma once

#include <string>

namespace assay {

// A path in the folder of fixtures: the environment variable ASSAY_FIXTURES, so that a test program can be carried to
// another machine, else the folder in the source tree it was built from.
std::string Fixture(const std::string& path);

}  // namespace assay

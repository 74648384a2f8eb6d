// The program that a build is.
#pragma once

#include <string>

#include "ci/assay/gate_child.h"

namespace assay {

// `named`: a program, a folder with bin/assay or assay in it, or a revision of the git repository of the current
// folder, which is checked out below build/gate and built there with the preset `preset`. Returns an absolute path.
// Throws ReportError naming what cannot be found or built.
std::string FindBuild(const std::string& named, const std::string& preset, ChildStop* stop);

}  // namespace assay

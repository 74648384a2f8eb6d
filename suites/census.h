// That no suite has lost a case: what is not listed cannot fail.
#pragma once

#include "suites/support/case.h"

namespace assay {

// The cases of three models, held against a list of their names; the embedded models, against the files on the disk.
// A case of the suite Controls, once a device.
std::vector<Case> CensusCases(const std::vector<Target>& targets);

}  // namespace assay

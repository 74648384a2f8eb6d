// What several seeds of the same cases do not agree on.
#pragma once

#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// Rows of a table, header first: each case that passed under some seeds and not under others, and under which it did
// not. The header alone when none did.
std::vector<std::vector<std::string>> FlipTable(const Report& report);

}  // namespace assay

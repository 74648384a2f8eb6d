// The least of a schedule that still fails.
#pragma once

#include <functional>

#include "suites/parity/moves.h"

namespace assay {

// Leaves out moves and sessions, makes numbers smaller and drops failures as long as `fails` stays true of what is
// left. At most `tries` calls of it.
Schedule Shrunk(Schedule schedule, const std::function<bool(const Schedule&)>& fails, int tries = 2000);

}  // namespace assay

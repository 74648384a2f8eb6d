// Does a system speak the protocol? Every request, every refusal, limits and junk.
#pragma once

#include <string>
#include <vector>

#include "suites/systems/system_process.h"

namespace assay {

// One thing that was asked.
struct ConformanceCheck {
  std::string what;
  std::string problem;   // empty: it did as it should
  bool skipped = false;  // `problem` is the system's reason why it cannot
};

// Asks all of it of fresh processes of `command`, with `model`, a path or name that the system can load. What cannot be
// asked, because the process ended, is a problem and the next check gets a fresh process.
std::vector<ConformanceCheck> CheckConformance(const SystemCommand& command, const std::string& model);

}  // namespace assay

// What the rules that others publish would say of an engine: beside the suites, so that it shows what each would miss.
#pragma once

#include <string>
#include <vector>

#include "suites/support/workbench.h"

namespace assay {

struct PublishedRule {
  const char* name;
  const char* about;
};
// "two-steps": two sessions, two steps: every logit within 1 of the reference's, four of the best five the same.
// "top-k": 8 texts of 32 tokens, greedy: at the first other token, the reference has it among its best five.
// "nmse": five ragged sessions, 12 steps: the normalised squared error below 1e-4.
// "invariance": the same steps bit for bit as each session alone; nothing is held against a reference.
const std::vector<PublishedRule>& PublishedRules();

// The names of the rules that call the bench's engines wrong on this target. The reference is a clean one.
std::vector<std::string> CaughtByPublishedRules(Workbench& bench, const Target& target);

}  // namespace assay

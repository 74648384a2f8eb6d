// What a gate asks for on a runner of a kind: what must be there and pass, thresholds, and waivers that end.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "reports/format/report.h"
#include "reports/gate/rule.h"

namespace assay {

// Something that may fail until a day, and why.
struct Waiver {
  std::string id;  // of a case or a cell; * matches any text
  std::string reason;
  std::string expires;  // "2026-12-31": the last day on which it holds, UTC
};

struct Policy {
  std::string name;
  std::vector<std::string> devices;                // on each of which a case must have passed
  std::vector<std::string> suites, models;         // each must have a case that passed
  std::vector<std::string> cells;                  // ids, * matches any text: each must match a cell that was timed
  std::vector<std::string> what, dtypes, prompts;  // what is timed where the command line does not say
  std::vector<int> sessions, contexts;
  GateRule rule;
  std::vector<Waiver> waivers;
};

std::string_view PolicySchema();  // JSON Schema (draft-07), as built in

// Throws ReportError naming `file` and the key: an unknown key, a value out of range, a waiver without a reason, or one
// that expired before `today` ("2026-11-27"). A policy is never applied in part.
Policy PolicyFrom(std::string_view text, const std::string& file, const std::string& today);

// "*" matches any text, everything else itself.
bool MatchesPattern(std::string_view pattern, std::string_view text);

// One line per requirement that the report does not meet; empty: it meets all.
std::vector<std::string> Unmet(const Policy& policy, const Report& report);
// The waiver that covers an id; null without one.
const Waiver* WaiverOf(const Policy& policy, std::string_view id);

}  // namespace assay

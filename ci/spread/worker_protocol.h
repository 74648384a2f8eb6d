// What a worker and its supervisor say to each other, a line of JSON each. The worker reads assignments from its
// standard input and answers on its standard output; whatever else it prints goes to its log.
//
//   to the worker     {"group":3,"cases":[0,1,2]}
//   from the worker   {"kind":"hello","environment":{...},"free_bytes":N}            once
//                     {"kind":"running","index":0,"bounds":[],"case":{...}}          the case that begins, without
//                     outcome
//                     {"kind":"case","index":0,"bounds":[...],"case":{...}}          its outcome; of a benchmark also
//                     "timed":{"limits":{...},"rows":[...]}
//                     {"kind":"done","ecc_after":[[0,0]]}                            the assignment is
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reports/format/json.h"
#include "reports/format/report.h"

namespace assay {

// A worker whose device was lost has answered for the case that lost it, and can do nothing more.
inline constexpr int kWorkerLostDevice = 75;

struct Assignment {
  std::int64_t group = 0;
  std::vector<std::int64_t> cases;  // indices within the group
};
inline std::string ToLine(const Assignment& assignment) {
  return Json{{"group", assignment.group}, {"cases", assignment.cases}}.dump() + "\n";
}
inline Assignment AssignmentFrom(const std::string& line) {
  const Json json = ParseText(line);
  return {json.at("group"), json.at("cases").get<std::vector<std::int64_t>>()};
}

}  // namespace assay

// The page of a history: one HTML file that needs no network, no server and, but for zooming, filtering and comparing,
// no scripts.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "reports/trend/series.h"

namespace assay {

struct TrendPageInputs {
  const History* history = nullptr;
  const std::vector<TrendSeries>* series = nullptr;
  const TrendJudgement* judgement = nullptr;
  const std::vector<MachineState>* machines = nullptr;
  std::map<std::string, std::string> subjects;  // of commits
  double now = 0;                               // seconds since 1970
  std::string made_by;                          // "assay 0.1.0 (0123456)"
};

// All text of reports is escaped; the page's content security policy allows its own script by digest and no request.
std::string RenderTrendPage(const TrendPageInputs& inputs);

}  // namespace assay

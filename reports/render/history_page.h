// The page of kept runs, made from the reports alone.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// Markdown: by environment, with the facts that make its runs comparable, tables of benchmark rows, of runs of suites
// and of golden runs, by date. What did not pass stands bold, with the cases that failed below its table. Each path, as
// the page links to it, comes with its report. The same text for the same reports in any order.
std::string RenderHistoryPage(const std::vector<std::pair<std::string, Report>>& reports);

}  // namespace assay

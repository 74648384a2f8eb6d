// The folder of kept runs.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// Every report (*.json, *.json.gz) below `folder`, as paths within it, in order. Throws ReportError naming the folder.
std::vector<std::string> ReportPaths(const std::string& folder);

// Those reports by their paths. Throws ReportError naming one that cannot be read.
std::vector<std::pair<std::string, Report>> ReadHistory(const std::string& folder);

// What its README.md holds: preface.md, which is written by hand, and behind it the page of the reports.
std::string RenderHistoryFolder(const std::string& folder);

}  // namespace assay

// A report file as every command reads it that must not be fooled by one.
#pragma once

#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

struct CheckedReport {
  Report report;
  std::vector<std::string> problems;  // of its shape, or where it contradicts itself; empty: it holds
  std::string text;                   // decompressed
};

// "-" is standard input. Throws ReportError for what is no report of this version.
CheckedReport ReadChecked(const std::string& file);

}  // namespace assay

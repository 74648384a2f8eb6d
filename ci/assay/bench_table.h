// Benchmark rows for people, printed one by one as they are timed.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

class BenchTable {
 public:
  explicit BenchTable(std::size_t width) : width_(width) {}  // of the widest row id
  void Header() const;
  void Row(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits) const;
  void Print(const HardwareLimits& limits) const;
  // Of the rows of an ablation, what the calls that they lack cost the step; nothing of others.
  void Costs(const std::vector<ReportBenchmark>& rows, const std::vector<HardwareLimits>& limits) const;

 private:
  std::size_t width_;
};

// Limits and rows of a report; nothing where nothing was timed.
void PrintRows(const Report& report);

}  // namespace assay

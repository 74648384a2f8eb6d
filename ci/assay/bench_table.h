// Benchmark rows for people, printed one by one as they are timed.
#pragma once

#include <cstddef>
#include <string>

#include "bench/support/roofs.h"
#include "reports/report.h"

namespace assay {

class BenchTable {
 public:
  // Widths of the widest model and the widest row name.
  BenchTable(std::size_t model, std::size_t name) : model_(model), name_(name) {}
  void Header() const;
  void Row(const ReportBenchmark& row) const;
  void Print(const std::string& dtype, const Roofs& roofs) const;

 private:
  std::size_t model_, name_;
};

}  // namespace assay

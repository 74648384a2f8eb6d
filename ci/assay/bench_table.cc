#include "ci/assay/bench_table.h"

#include <fmt/core.h>

#include <array>
#include <cstdio>
#include <utility>

#include "ci/assay/terminal.h"

namespace assay {
namespace {

// "21.8 ms"
std::string HumanSeconds(double seconds) {
  constexpr std::array<std::pair<double, const char*>, 3> kUnits = {{{1.0, "s"}, {1e-3, "ms"}, {1e-6, "us"}}};
  for (const auto& [unit, name] : kUnits)
    if (seconds >= unit || unit == 1e-6)
      return fmt::format("{:.{}f} {}", seconds / unit, seconds / unit < 100 ? 2 : 1, name);
  return "";
}

// "412 token/s", "3.01 GB/s"
std::string HumanRate(double rate, const std::string& unit) {
  if (unit == "byte") return fmt::format("{:.2f} GB/s", rate * 1e-9);
  return fmt::format("{:.{}f} {}/s", rate, rate < 100 ? 1 : 0, unit);
}

std::string Percent(double fraction) { return fmt::format("{:.{}f} %", 100 * fraction, fraction < 0.1 ? 2 : 1); }

}  // namespace

void BenchTable::Header() const {
  fmt::print("{:{}}  {:5} {:{}}  {:>9} {:>9} {:>9} {:>8} {:>13} {:>15}  {}\n", "model", model_, "dtype", "what", name_,
             "floor", "p50", "p99", "of floor", "of roof", "rate", "parity");
}

void BenchTable::Row(const ReportBenchmark& row) const {
  fmt::print("{:{}}  {:5} {:{}}  ", row.model, model_, row.dtype, row.name, name_);
  if (row.samples == 0) {
    fmt::print("{} {}\n", Painted(row.status, row.status, stdout), row.reason);
  } else {
    // The roof that stands nearer: what the row is bound by.
    const bool products = row.fraction_of_gemm > row.fraction_of_copy;
    const std::string roof =
        products ? Percent(row.fraction_of_gemm) + " gemm" : Percent(row.fraction_of_copy) + " copy";
    fmt::print("{:>9} {:>9} {:>9} {:>8} {:>13} {:>15}  {}\n", HumanSeconds(row.floor_s), HumanSeconds(row.p50_s),
               HumanSeconds(row.p99_s), Percent(row.fraction_of_floor), roof, HumanRate(row.rate, row.unit),
               Painted(row.parity, row.parity, stdout));
  }
  std::fflush(stdout);
}

void BenchTable::Print(const std::string& dtype, const Roofs& roofs) const {
  fmt::print("roofs of {}: copy {:.1f} GB/s, read {:.1f} GB/s, gemm {:.3f} TFLOP/s ({})\n", dtype, roofs.copy * 1e-9,
             roofs.read * 1e-9, roofs.gemm * 1e-12, roofs.how);
}

}  // namespace assay

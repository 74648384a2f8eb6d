#include "ci/assay/bench_table.h"

#include <fmt/core.h>

#include <algorithm>
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
  Tell("{:{}}  {:>9} {:>9} {:>9} {:>8} {:>13} {:>15} {:>9}  {}\n", "benchmark", width_, "floor", "p50", "p99",
       "of floor", "of limit", "rate", "SM clock", "parity");
}

void BenchTable::Row(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits) const {
  Tell("{:{}}  ", row.id(), width_);
  const std::string status(Name(row.status)), parity(Name(row.parity));
  if (row.status != Status::kPass) {
    Tell("{} {}\n", Colorized(status, status, stdout), row.reason);
  } else {
    const Figures figures = FiguresOf(row, limits);
    std::string floor = "-", of_floor = "-", of_limit = "-", rate = "-";  // of a step without some of its calls
    if (row.floor_s > 0) {
      floor = HumanSeconds(row.floor_s);
      of_floor = Percent(figures.fraction_of_floor);
      // The limit that stands nearer: what the row is bound by.
      const bool products = figures.fraction_of_gemm > figures.fraction_of_copy;
      of_limit = products ? Percent(figures.fraction_of_gemm) + " gemm" : Percent(figures.fraction_of_copy) + " copy";
      rate = HumanRate(figures.rate, row.unit);
    }
    double clock = 0;
    for (const TimedSeries& series : row.series) clock = std::max(clock, series.activity.sm_clock_mhz.median);
    Tell("{:>9} {:>9} {:>9} {:>8} {:>13} {:>15} {:>9}  {}\n", floor, HumanSeconds(figures.p50_s),
         HumanSeconds(figures.p99_s), of_floor, of_limit, rate, clock > 0 ? fmt::format("{:.0f} MHz", clock) : "-",
         Colorized(parity, parity, stdout));
  }
  std::fflush(stdout);
}

void BenchTable::Costs(const std::vector<ReportBenchmark>& rows, const std::vector<HardwareLimits>& limits) const {
  if (rows.empty() || rows.front().axes.Text("without").empty() || rows.front().status != Status::kPass) return;
  const double whole = FiguresOf(rows.front(), limits).p50_s;
  Tell("what the calls cost a step of {}:\n", HumanSeconds(whole));
  for (const ReportBenchmark& row : rows) {
    const auto calls = row.counts.find("calls");
    if (row.status != Status::kPass || calls == row.counts.end()) continue;
    const double cost = whole - FiguresOf(row, limits).p50_s;
    Tell("  {:36} {:4} calls {:9.4f} ms {:9.3f} us each\n", row.axes.Text("without"), calls->second, 1e3 * cost,
         1e6 * cost / static_cast<double>(calls->second));
  }
}

void BenchTable::Print(const HardwareLimits& limits) const {
  Tell("limits of {}: copy {:.1f} GB/s, read {:.1f} GB/s, gemm {:.3f} TFLOP/s ({})\n", limits.dtype,
       limits.copy_bytes_per_s * 1e-9, limits.read_bytes_per_s * 1e-9, limits.gemm_flops_per_s * 1e-12, limits.how);
}

void PrintRows(const Report& report) {
  if (report.benchmarks.empty()) return;
  std::size_t width = 0;
  for (const ReportBenchmark& row : report.benchmarks) width = std::max(width, row.id().size());
  const BenchTable table(width);
  for (const HardwareLimits& limits : report.limits) table.Print(limits);
  table.Header();
  for (const ReportBenchmark& row : report.benchmarks) table.Row(row, report.limits);
}

}  // namespace assay

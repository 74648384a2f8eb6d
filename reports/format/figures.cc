#include <algorithm>
#include <cmath>

#include "reports/format/report.h"

namespace assay {
namespace {

// Nearest rank, of sorted values that are not empty.
double Quantile(const std::vector<double>& sorted, double p) {
  const double last = static_cast<double>(sorted.size() - 1);
  const double rank = std::ceil(p * static_cast<double>(sorted.size()));
  return sorted[static_cast<std::size_t>(std::clamp(rank - 1, 0.0, last))];
}

double Ratio(double a, double b) { return b > 0 ? a / b : 0; }

}  // namespace

const HardwareLimits* LimitsOf(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits) {
  const std::string dtype = row.axes.Text("dtype");
  if (dtype.empty()) return limits.size() == 1 ? &limits.front() : nullptr;
  const auto found =
      std::find_if(limits.begin(), limits.end(), [&](const auto& known) { return known.dtype == dtype; });
  return found == limits.end() ? nullptr : &*found;
}

double FloorOf(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits) {
  const HardwareLimits* const found = LimitsOf(row, limits);
  if (found == nullptr) return 0;
  return std::max(Ratio(row.bytes, found->copy_bytes_per_s), Ratio(row.flops, found->gemm_flops_per_s));
}

Figures FiguresOf(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits) {
  Figures figures;
  std::vector<double> seconds;
  for (const TimedSeries& series : row.series)
    seconds.insert(seconds.end(), series.seconds.begin(), series.seconds.end());
  if (row.status != Status::kPass || seconds.empty()) return figures;
  std::sort(seconds.begin(), seconds.end());
  figures.samples = static_cast<std::int64_t>(seconds.size());
  figures.p50_s = Quantile(seconds, 0.5);
  figures.p90_s = Quantile(seconds, 0.9);
  figures.p99_s = Quantile(seconds, 0.99);
  figures.fraction_of_floor = Ratio(row.floor_s, figures.p50_s);
  figures.rate = Ratio(row.work, figures.p50_s);
  if (const HardwareLimits* const found = LimitsOf(row, limits); found != nullptr) {
    figures.fraction_of_copy = Ratio(Ratio(row.bytes, figures.p50_s), found->copy_bytes_per_s);
    figures.fraction_of_gemm = Ratio(Ratio(row.flops, figures.p50_s), found->gemm_flops_per_s);
  }
  return figures;
}

}  // namespace assay

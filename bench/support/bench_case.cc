#include "bench/support/bench_case.h"

#include <algorithm>
#include <exception>

#include "engine/weights/digest.h"
#include "reports/format/activity.h"

namespace assay {
namespace {

// Why a timed row may have no speed; empty: it may.
std::string Uncovered(const ReportBenchmark& row, const std::vector<std::string>& kernels, const Coverage& coverage) {
  if (!coverage.timed_before.empty()) {
    const auto before = coverage.timed_before.find(row.id());
    if (before == coverage.timed_before.end()) return "the run that is its evidence has no such row";
    return before->second == row.kernels ? "" : "other kernels ran in the timed step than in the run that is evidence";
  }
  for (const std::string& kernel : kernels)
    if (!coverage.kernels.contains(kernel))
      return fmt::format("kernel '{}' ran in the timed step, but in none of the cases that cover it", kernel);
  return "";
}

std::string Throttled(const ReportBenchmark& row) {
  std::string why;
  for (const TimedSeries& series : row.series)
    if (!StableActivity(series.activity, &why)) return why;
  return "";
}

std::string DigestOf(const std::vector<std::string>& kernels) {
  if (kernels.empty()) return "";
  Digest digest;
  for (const std::string& kernel : kernels) digest.Add(kernel);
  return digest.Hex();
}

bool HasSamples(const ReportBenchmark& row) {
  return !row.series.empty() && std::all_of(row.series.begin(), row.series.end(), [](const TimedSeries& series) {
    return !series.seconds.empty() &&
           std::all_of(series.seconds.begin(), series.seconds.end(), [](double s) { return s > 0; });
  });
}

}  // namespace

ReportBenchmark RowOf(const BenchCase& item) {
  ReportBenchmark row;
  row.name = item.name;
  row.axes = item.axes;
  return row;
}

std::vector<ReportBenchmark> TimeIfRight(const BenchCase& item, const Coverage& coverage, BenchState& state) {
  ReportBenchmark untimed = RowOf(item);
  untimed.parity = coverage.verdict;
  untimed.covering_cases = coverage.cases;
  const auto without_speed = [&](Status status, std::string reason) {
    untimed.status = status;
    untimed.reason = std::move(reason);
    return std::vector<ReportBenchmark>{untimed};
  };
  if (coverage.status != Status::kPass) return without_speed(coverage.status, "parity: " + coverage.reason);
  try {
    std::vector<TimedRow> timed = item.time(item, state);
    if (timed.empty()) return without_speed(Status::kError, "timed nothing");
    std::vector<ReportBenchmark> rows;
    for (TimedRow& one : timed) {
      ReportBenchmark& row = rows.emplace_back(std::move(one.row));
      row.parity = coverage.verdict;
      row.covering_cases = coverage.cases;
      row.kernels = DigestOf(one.kernels);
      row.logit_spread = state.setting.spread;
      row.logit_tie = state.setting.tie;
      if (!HasSamples(row)) return without_speed(Status::kError, row.id() + " has no samples");
      if (row.reason = Uncovered(row, one.kernels, coverage); !row.reason.empty()) {
        row.status = Status::kFail;
      } else if (row.reason = Throttled(row); !row.reason.empty()) {
        row.status = Status::kUnstable;
      }
    }
    return rows;
  } catch (const WrongResult& error) {
    untimed.parity = Verdict::kWrong;
    return without_speed(Status::kFail, error.what());
  } catch (const OutOfMemory& error) {
    return without_speed(Status::kSkip, error.what());
  } catch (const Unsupported& error) {
    return without_speed(Status::kSkip, error.what());
  } catch (const std::exception& error) {
    return without_speed(Status::kError, error.what());
  } catch (...) {
    return without_speed(Status::kError, "an exception that is no std::exception");
  }
}

}  // namespace assay

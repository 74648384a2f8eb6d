#include "bench/support/bench_case.h"

#include <exception>

#include "engine/ops/ops_factory.h"

namespace assay {

std::unique_ptr<Ops> MakeOpsOf(const BenchSubject& subject) {
  return subject.make_ops ? subject.make_ops() : MakeOps(subject.device, subject.precision, subject.batch_invariant);
}

std::int64_t BenchCase::Param(const std::string& key) const {
  const auto found = params.find(key);
  return found == params.end() ? 0 : found->second;
}

ReportBenchmark RowOf(const BenchCase& item) {
  ReportBenchmark row;
  row.name = item.name;
  row.model = item.subject.model;
  row.dtype = Name(item.subject.precision);
  row.device = item.subject.device;
  row.params = item.params;
  return row;
}

std::vector<ReportBenchmark> TimeIfRight(const BenchCase& item, const Parity& parity, const BenchSetting& setting) {
  ReportBenchmark untimed = RowOf(item);
  untimed.parity = parity.verdict;
  const auto without_speed = [&](const char* status, std::string reason) {
    untimed.status = status;
    untimed.reason = std::move(reason);
    return std::vector<ReportBenchmark>{untimed};
  };
  if (parity.status != "pass") return without_speed(parity.status.c_str(), "parity: " + parity.reason);
  try {
    std::vector<ReportBenchmark> rows = item.time(item, setting);
    if (rows.empty()) return without_speed("error", "timed nothing");
    for (ReportBenchmark& row : rows) {
      row.parity = parity.verdict;
      if (row.samples == 0 || !(row.p50_s > 0)) return without_speed("error", row.name + " has no samples");
    }
    return rows;
  } catch (const WrongResult& error) {
    untimed.parity = "WRONG";
    return without_speed("fail", error.what());
  } catch (const OutOfMemory& error) {
    return without_speed("skip", error.what());
  } catch (const std::exception& error) {
    return without_speed("error", error.what());
  } catch (...) {
    return without_speed("error", "an exception that is no std::exception");
  }
}

}  // namespace assay

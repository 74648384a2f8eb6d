// A benchmark: one thing to time, and the rule that it is right before it is timed.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/support/device_log.h"
#include "bench/support/roofs.h"
#include "engine/base/check.h"
#include "engine/ops/ops.h"
#include "engine/weights/store.h"
#include "reports/report.h"

namespace assay {

// What is benchmarked: the same words that a suite's subject has.
struct BenchSubject {
  std::string model;  // as --model takes it
  const WeightStore* store = nullptr;
  std::string device;  // "host" or "cuda"
  Precision precision = Precision::kBf16;
  std::uint64_t seed = 0;
  bool batch_invariant = false;
  std::function<std::unique_ptr<Ops>()> make_ops = {};  // others than those of the device and mode
};

// Fresh ops of the subject.
std::unique_ptr<Ops> MakeOpsOf(const BenchSubject& subject);

// What a benchmark measures with and against.
struct BenchSetting {
  Roofs roofs;
  double seconds = 5;  // of timed repeats of a row; as long again at most to warm up
  // What two correct computations of one row may differ by; 0: not at all.
  double spread = 0;         // in any logit
  double tie = 0;            // between the best logit and another that is chosen
  DeviceLog* log = nullptr;  // samples clocks beside the timings; may be null
};

// The way through the engine that a benchmark times; the suites that compare it must pass first.
enum class BenchPath { kDecode, kPrefill };

struct BenchCase {
  std::string what;  // "decode"
  BenchPath path = BenchPath::kDecode;
  std::string name;  // "decode/n8_ctx512"
  BenchSubject subject;
  std::map<std::string, std::int64_t> params;
  // Rows with their figures. Throws WrongResult when what it timed is not right, OutOfMemory when it does not fit.
  std::function<std::vector<ReportBenchmark>(const BenchCase&, const BenchSetting&)> time;
  std::int64_t Param(const std::string& key) const;  // 0 without
};

// A row that names the case and holds nothing yet.
ReportBenchmark RowOf(const BenchCase& item);

// What was timed does not compute what it should.
class WrongResult : public Error {
 public:
  using Error::Error;
};

// What was found out about a case before it is timed.
struct Parity {
  std::string status = "skip";  // of the worst case that was run: "pass", "fail", "skip", "error"
  std::string reason = "nothing was compared";
  std::string verdict = "VOID";
};

// Times a case that `parity` lets pass. A case that does not pass, does not fit, breaks or turns out wrong while it is
// timed becomes one row without a speed that says so. Never throws.
std::vector<ReportBenchmark> TimeIfRight(const BenchCase& item, const Parity& parity, const BenchSetting& setting);

}  // namespace assay

// What an earlier process of this very build has shown on this very device, for one of many processes that time the
// same rows: cases, limits and tolerances are taken from its report, and the process only times.
#pragma once

#include <string>
#include <vector>

#include "bench/support/bench_case.h"
#include "reports/format/report.h"

namespace assay {

class Evidence {
 public:
  // `earlier` is a checked report of `file`, `now` this process' with environment, models and seed filled in. Throws
  // InputError that names what differs: kind, build, seed, environment, GPU, a model.
  Evidence(Report earlier, std::string file, const Report& now);

  const Report& report() const { return earlier_; }
  // Throws InputError for a mode whose limits were not measured.
  HardwareLimits Limits(const std::string& dtype) const;
  // What the covering cases had shown; `setting` receives what the row's logits may differ by. Throws InputError for a
  // case without rows in the report.
  Coverage Of(const BenchCase& item, BenchSetting* setting) const;

 private:
  Report earlier_;
  std::string file_;
};

}  // namespace assay

// Reports that hold, for tests to read, render and break.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// A case of model nano on the host. One that does not pass has the reason "because" and a replay line; one that passes
// has a judgement of max_abs_logit with this verdict, and the budget of a soft one.
ReportCase MakeCase(const std::string& name, Status status, Verdict verdict = Verdict::kMatch);
// Cases A (pass, MATCH), B (pass, DRIFT), C (skip), D (pass, argmax judged on 7 of 8 rows), on one GPU of two facts.
Report Sample();
// A row that was timed, covered by case A of the sample, or one that was not.
ReportBenchmark MakeRow(Status status = Status::kPass);
// The sample with limits and rows: decode (pass), skipped, slowed (unstable).
Report TimedSample();

// The text of `report` after a change of its JSON.
std::string Changed(const Report& report, const std::function<void(nlohmann::ordered_json&)>& change);

}  // namespace assay

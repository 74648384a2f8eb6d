// Shared by the files that turn reports into JSON and back: what equals its default is left out.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "engine/text/json.h"
#include "reports/format/report.h"
#include "reports/format/report_text.h"

namespace assay {

using Json = OrderedJson;

// Text that is not one JSON document, or too large a one.
class NotJson : public ReportError {
 public:
  using ReportError::ReportError;
};
// Of a file that anybody may have written. Throws NotJson.
template <class Document = Json>
Document ParseText(std::string_view text, const JsonTaker<Document>& take = nullptr);

inline Json JsonOrNothing(std::string_view text) {
  try {
    return ParseText(text);
  } catch (const NotJson&) {
    return {};
  }
}

// Nothing but printable ASCII, and line ends where `indent` asks for them.
inline std::string Ascii(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', true, Json::error_handler_t::replace);
}

// A number as its shortest text: a whole one without a decimal point.
Json Number(double value);

template <class Value>
void PutUnless(const Value& absent, Json* object, const char* key, const Value& value) {
  if (!(value == absent)) (*object)[key] = value;
}
inline void PutUnless(double absent, Json* object, const char* key, double value) {
  if (value != absent) (*object)[key] = Number(value);
}
inline void PutText(Json* object, const char* key, const std::string& text) {
  PutUnless(std::string(), object, key, text);
}

// JSON has no NaN or infinity: the number is left out and named instead.
void PutNumber(Json* object, const char* key, double value, double absent = 0);
double GetNumber(const Json& object, const char* key, double absent = 0);

// Environment with its comparability key, which is derived and not read.
Json EnvironmentJson(const Environment& environment);
Environment EnvironmentFrom(const Json& json);

// Rows with their figures, which are derived and not read.
Json BenchmarkJson(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits);
ReportBenchmark BenchmarkFrom(const Json& json);
Json LimitsJson(const HardwareLimits& limits);
HardwareLimits LimitsFrom(const Json& json);

Json BuildJson(const BuildInfo& build);
BuildInfo BuildFrom(const Json& json);

// A gate with its decisions, which are derived and not read.
Json GateJson(const GateRecord& record);
GateRecord GateFrom(const Json& json);

Json DistributionJson(const Distribution& distribution);
Distribution DistributionFrom(const Json& json);

// The pieces of a report that is as it is written: a document of it all would take many times its text.
Json CaseJson(const ReportCase& item, const BoundTable& bounds);
Json RestJson(const Report& rest, const CaseTotals& totals);  // without the elements of cases and benchmarks

// A case that stands alone: {"bounds": [...], "case": {...}}, as it was measured.
Json CaseRecordJson(const ReportCase& item);
ReportCase CaseRecordFrom(const Json& json);

Json AxesJson(const Axes& axes);
Axes AxesFrom(const Json& json);
Status StatusFrom(const Json& object);
Verdict VerdictFrom(const std::string& name);

// A report's text around the elements of its cases. One line a case, a bound, a series: what a person compares line by
// line stands on one line.
struct PrintedRest {
  std::string before, after;
};
PrintedRest Printed(const Json& rest);
std::string PrintedCase(const Json& item);

}  // namespace assay

#include "reports/check.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "reports/report.h"

namespace assay {
namespace {

using Json = nlohmann::json;

Json Parse(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw ReportError(fmt::format("not JSON: {}", error.what()));
  }
}

// What a status promises about judgements and reason.
void CheckCase(const ReportCase& item, std::vector<std::string>* problems) {
  const std::string id = item.suite + "." + item.name + (item.params.empty() ? "" : "/" + item.params);
  if (item.id != id)
    problems->push_back(fmt::format("case {}: id does not follow from suite, name and params ({})", item.id, id));
  const std::string verdict = CaseVerdict(item);
  if (item.status == "pass" && (verdict == "VOID" || verdict == "WRONG")) {
    problems->push_back(fmt::format("case {}: passes with verdict {}{}", item.id, verdict,
                                    item.judgements.empty() ? " (no judgement)" : ""));
  }
  if (item.status != "pass" && item.reason.empty()) {
    problems->push_back(fmt::format("case {}: status {} without a reason", item.id, item.status));
  }
  if (item.replay.empty() || item.replay.find('\n') != std::string::npos) {
    problems->push_back(fmt::format("case {}: replay is not one line", item.id));
  }
}

void CheckPopulation(const Report& report, std::vector<std::string>* problems) {
  std::set<std::string> seen;
  for (const ReportCase& item : report.cases) {
    if (!seen.insert(item.id).second) problems->push_back(fmt::format("case {}: reported twice", item.id));
    CheckCase(item, problems);
  }
  const auto count = static_cast<std::int64_t>(report.cases.size());
  if (report.selected > report.listed) {
    problems->push_back(fmt::format("population: {} selected of {} listed", report.selected, report.listed));
  }
  if (report.complete && count != report.selected) {
    problems->push_back(fmt::format("complete, but {} cases of {} selected are reported", count, report.selected));
  }
  if (report.complete && report.finished.empty()) problems->push_back("complete, but run.finished is null");
  if (report.complete && !report.problems.empty()) problems->push_back("complete, but integrity.problems is not empty");
  if (!report.complete && report.problems.empty())
    problems->push_back("not complete, but integrity.problems names no reason");
}

bool Near(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b)); }

// A row that passes has samples and figures that follow from them; any other has neither.
void CheckRow(const ReportBenchmark& row, std::vector<std::string>* problems) {
  const auto problem = [&](const char* what) {
    problems->push_back(fmt::format("benchmark {}: {}", RowId(row), what));
  };
  const bool timed = row.samples > 0;
  if (row.status == "pass" && !timed) problem("passes without samples");
  if (row.status == "pass" && (row.parity == "WRONG" || row.parity == "VOID")) problem("passes without parity");
  if (row.status != "pass" && timed) problem("has a speed, but its status is not pass");
  if (row.status != "pass" && row.reason.empty()) problem("does not pass and gives no reason");
  if (!timed) {
    if (row.p50_s != 0) problem("has times without samples");
    return;
  }
  if (!(row.p50_s > 0 && row.p50_s <= row.p90_s && row.p90_s <= row.p99_s)) problem("percentiles are not in order");
  if (!Near(row.fraction_of_floor * row.p50_s, row.floor_s))
    problem("fraction_of_floor does not follow from floor_s and p50_s");
}

}  // namespace

std::vector<std::string> SchemaProblems(std::string_view report_text) {
  const Json document = Parse(report_text), schema_document = Parse(ReportSchema());
  valijson::Schema schema;
  valijson::SchemaParser parser;
  parser.populateSchema(valijson::adapters::NlohmannJsonAdapter(schema_document), schema);
  valijson::Validator validator(valijson::Validator::kStrongTypes);
  valijson::ValidationResults results;
  if (validator.validate(schema, valijson::adapters::NlohmannJsonAdapter(document), &results)) return {};
  std::vector<std::string> problems;
  valijson::ValidationResults::Error error;
  while (results.popError(error)) {
    std::string path;
    for (const std::string& part : error.context) path += part;
    problems.push_back(fmt::format("{}: {}", path, error.description));
  }
  return problems;
}

std::vector<std::string> ConsistencyProblems(std::string_view report_text) {
  std::vector<std::string> problems;
  const Report report = FromJson(report_text);
  CheckPopulation(report, &problems);
  std::set<std::string> rows;
  for (const ReportBenchmark& row : report.benchmarks) {
    if (!rows.insert(RowId(row)).second) problems.push_back(fmt::format("benchmark {}: reported twice", RowId(row)));
    CheckRow(row, &problems);
  }
  // Everything derived is written by one function: whatever differs from a fresh derivation was not written by it.
  const Json found = Parse(report_text), derived = Parse(ToJson(report));
  for (const char* key : {"verdict", "counts", "skips"}) {
    if (found.at(key) != derived.at(key)) {
      problems.push_back(
          fmt::format("{}: found {}, but the cases say {}", key, found.at(key).dump(), derived.at(key).dump()));
    }
  }
  if (found.at("provenance").at("tolerances") != derived.at("provenance").at("tolerances")) {
    problems.push_back("provenance.tolerances: does not follow from the judgements");
  }
  for (std::size_t i = 0; i < report.cases.size(); ++i) {
    if (found.at("cases").at(i) != derived.at("cases").at(i)) {
      problems.push_back(fmt::format("case {}: verdict, headroom or worst index does not follow from its judgements",
                                     report.cases[i].id));
    }
  }
  return problems;
}

}  // namespace assay

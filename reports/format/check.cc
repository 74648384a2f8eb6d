#include "reports/format/check.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "reports/format/check_parts.h"
#include "reports/format/report.h"

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

}  // namespace

std::vector<std::string> SchemaProblems(std::string_view report_text) {
  return SchemaProblemsOf(report_text, ReportSchema());
}

std::vector<std::string> SchemaProblemsOf(std::string_view text, std::string_view schema_text) {
  const Json document = Parse(text), schema_document = Parse(schema_text);
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
  CheckCases(report, &problems);
  CheckRows(report, &problems);
  CheckEnvironment(report, &problems);
  // Everything derived is written by one function: whatever differs from a fresh derivation was not written by it.
  const Json found = Parse(report_text), derived = Parse(ToJson(report));
  for (const char* key : {"verdict", "counts", "skips"}) {
    if (found.at(key) != derived.at(key)) {
      problems.push_back(
          fmt::format("{}: found {}, but the cases say {}", key, found.at(key).dump(), derived.at(key).dump()));
    }
  }
  if ((report.kind == "gate") != report.gate.has_value())
    problems.push_back(fmt::format("gate: {} of kind {}", report.gate ? "there" : "absent", report.kind));
  if (found.value("gate", Json()) != derived.value("gate", Json()))
    problems.push_back("gate: decisions do not follow from the rounds");
  if (found.at("environment").at("comparability") != derived.at("environment").at("comparability"))
    problems.push_back("environment.comparability: key or fields do not follow from the environment");
  if (found.at("bounds") != derived.at("bounds"))
    problems.push_back("bounds: not each bound of the judgements once, in their order");
  for (std::size_t i = 0; i < report.cases.size(); ++i) {
    if (found.at("cases").at(i) != derived.at("cases").at(i))
      problems.push_back(
          fmt::format("case {}: not as it is written: a default or a number is spelt out, or a bound's place is "
                      "another",
                      report.cases[i].id()));
  }
  for (std::size_t i = 0; i < report.benchmarks.size(); ++i) {
    const Json &row = found.at("benchmarks").at(i), &fresh = derived.at("benchmarks").at(i);
    if (row == fresh) continue;
    const Json none;
    const bool figures = row.value("figures", none) != fresh.value("figures", none);
    problems.push_back(fmt::format("benchmark {}: {}", report.benchmarks[i].id(),
                                   figures ? "figures do not follow from the samples" : "not as it is written"));
  }
  return problems;
}

}  // namespace assay

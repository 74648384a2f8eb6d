#include "reports/format/check.h"

#include <fmt/core.h>

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "engine/text/foreign.h"
#include "reports/format/check_parts.h"
#include "reports/format/json.h"
#include "reports/format/report.h"

namespace assay {
namespace {

using Document = nlohmann::json;  // members of an object have no order here

class SchemaCheck {
 public:
  explicit SchemaCheck(std::string_view schema) : text_(ParseText<Document>(schema)) {
    valijson::SchemaParser().populateSchema(valijson::adapters::NlohmannJsonAdapter(text_), schema_);
  }

  // `first`: the place that the first case of the document has in its report.
  void Check(const Document& document, std::size_t first, Problems* problems) {
    valijson::ValidationResults results;
    if (validator_.validate(schema_, valijson::adapters::NlohmannJsonAdapter(document), &results)) return;
    valijson::ValidationResults::Error error;
    while (results.popError(error)) {
      std::string path;
      for (std::size_t i = 0; i < error.context.size(); ++i) {
        const bool place = i == 2 && error.context[1] == "[cases]";
        path += place ? fmt::format("[{}]", first + std::stoull(error.context[i].substr(1))) : error.context[i];
      }
      problems->push_back(fmt::format("{}: {}", ForMessage(path), ForMessage(error.description)));
    }
  }

 private:
  const Document text_;
  valijson::Schema schema_;
  valijson::Validator validator_{valijson::Validator::kStrongTypes};
};

// Compares a report's text with what is written of its contents, piece by piece.
class Comparison {
 public:
  // Of a report as it is written.
  Comparison(const Report& report, Problems* problems) : report_(report), problems_(problems) {
    for (const ReportCase& item : report_.cases) totals_.Add(item);
  }

  void Run(std::string_view text) {
    const Document found =
        ParseText<Document>(text, [&](const Document&, const std::string& member, Document& element) {
          if (member == "cases") Case(element);
          if (member == "benchmarks") Row(element);
          return member == "cases" || member == "benchmarks";
        });
    Rest(found, Document(RestJson(report_, totals_)));
  }

 private:
  void Case(const Document& found) {
    const ReportCase& item = report_.cases[cases_++];
    if (found != Document(CaseJson(item, totals_.bounds)))
      problems_->push_back(
          fmt::format("case {}: not as it is written: a default or a number is spelt out, or a bound's place is "
                      "another",
                      item.id()));
  }

  void Row(const Document& found) {
    const ReportBenchmark& row = report_.benchmarks[rows_++];
    const Document fresh(BenchmarkJson(row, report_.limits));
    if (found == fresh) return;
    const Document none;
    const bool figures = found.value("figures", none) != fresh.value("figures", none);
    problems_->push_back(fmt::format("benchmark {}: {}", row.id(),
                                     figures ? "figures do not follow from the samples" : "not as it is written"));
  }

  void Rest(const Document& found, const Document& derived) {
    for (const char* key : {"verdict", "counts", "skips"})
      if (found.at(key) != derived.at(key))
        problems_->push_back(fmt::format("{}: found {}, but the cases say {}", key, ForMessage(found.at(key).dump()),
                                         ForMessage(derived.at(key).dump())));
    if ((report_.kind == "gate") != report_.gate.has_value())
      problems_->push_back(fmt::format("gate: {} of kind {}", report_.gate ? "there" : "absent", report_.kind));
    Document gate = derived.value("gate", Document());
    if (const auto known = found.find("gate"); known != found.end() && known->at("symmetry").contains("p")) {
      // Before 2.4 it took cells for independent, which they are not, and nothing follows from it.
      gate["symmetry"].erase("exchange_p");
      gate["symmetry"]["p"] = known->at("symmetry").at("p");
    }
    if (found.value("gate", Document()) != gate) problems_->push_back("gate: decisions do not follow from the rounds");
    if (found.at("environment").at("comparability") != derived.at("environment").at("comparability"))
      problems_->push_back("environment.comparability: key or fields do not follow from the environment");
    if (found.at("bounds") != derived.at("bounds"))
      problems_->push_back("bounds: not each bound of the judgements once, in their order");
  }

  const Report& report_;
  CaseTotals totals_;
  std::size_t cases_ = 0, rows_ = 0;
  Problems* const problems_;
};

}  // namespace

// Everything but the cases is one document, and so many cases at a time are one with it.
std::vector<std::string> SchemaProblems(std::string_view report_text) {
  constexpr std::size_t kTogether = 256;
  Problems problems;
  SchemaCheck schema(ReportSchema());
  Document whole = ParseText<Document>(
      report_text, [](const Document&, const std::string& member, Document&) { return member == "cases"; });
  schema.Check(whole, 0, &problems);
  if (!problems.empty()) return std::move(problems).Lines();
  std::size_t first = 0;
  Document& cases = whole["cases"];
  const auto check = [&] {
    schema.Check(whole, first, &problems);
    first += cases.size();
    cases.clear();
  };
  ParseText<Document>(report_text, [&](const Document&, const std::string& member, Document& element) {
    if (member == "cases") cases.push_back(std::move(element));
    if (cases.size() == kTogether) check();
    return true;
  });
  if (!cases.empty()) check();
  return std::move(problems).Lines();
}

std::vector<std::string> SchemaProblemsOf(std::string_view text, std::string_view schema_text) {
  Problems problems;
  SchemaCheck(schema_text).Check(ParseText<Document>(text), 0, &problems);
  return std::move(problems).Lines();
}

std::vector<std::string> ConsistencyProblems(std::string_view report_text) {
  Report report = FromJson(report_text);
  return ConsistencyProblems(report_text, &report);
}

std::vector<std::string> ConsistencyProblems(std::string_view report_text, Report* report) {
  Problems problems;
  CheckCases(*report, &problems);
  CheckRows(*report, &problems);
  CheckEnvironment(*report, &problems);
  *report = AsWritten(std::move(*report));
  // Everything derived is written by one function: whatever differs from a fresh derivation was not written by it.
  Comparison(*report, &problems).Run(report_text);
  return std::move(problems).Lines();
}

std::vector<std::string> ReportProblems(std::string_view report_text, Report* report) {
  std::vector<std::string> problems = SchemaProblems(report_text);
  return problems.empty() ? ConsistencyProblems(report_text, report) : problems;
}

}  // namespace assay

#include <fmt/core.h>
#include <tinyxml2.h>

#include <algorithm>
#include <string>
#include <vector>

#include "reports/render/export.h"
#include "reports/render/export_text.h"
#include "reports/render/gate_cells.h"

namespace assay {
namespace {

// Schemas of JUnit files know numbers of seconds with decimals, not exponents.
std::string Seconds(double seconds) { return fmt::format("{:.6f}", seconds); }

// Elements, with text that XML can hold: tinyxml2 escapes markup and writes everything else as it comes.
class Xml {
 public:
  void Open(const char* name) { printer_.OpenElement(name); }
  void Close() { printer_.CloseElement(); }
  // Readers turn a line's end in an attribute into a space; so do we, for all alike.
  void Attribute(const char* name, const std::string& value) { printer_.PushAttribute(name, OneLine(value).c_str()); }
  void Attribute(const char* name, std::int64_t value) { printer_.PushAttribute(name, value); }
  void Text(const std::string& text) { printer_.PushText(WellFormed(text).c_str()); }
  void Property(const char* name, const std::string& value) {
    if (value.empty()) return;
    Open("property");
    Attribute("name", name);
    Attribute("value", value);
    Close();
  }
  std::string Printed() const { return std::string("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") + printer_.CStr(); }

 private:
  tinyxml2::XMLPrinter printer_;
};

struct TestCase {
  std::string suite, name;
  double seconds = 0;
  Status status = Status::kPass;
  std::string type, reason, details;
};

struct Counts {
  std::int64_t tests = 0, failures = 0, errors = 0, skipped = 0;
  double seconds = 0;
  void Add(const TestCase& test) {
    ++tests;
    failures += test.status == Status::kFail ? 1 : 0;
    errors += test.status == Status::kError || test.status == Status::kUnstable ? 1 : 0;
    skipped += test.status == Status::kSkip ? 1 : 0;
    seconds += test.seconds;
  }
};

// "decode/nano/fp32": what tells a case from others of its suite.
std::string NameIn(const std::string& suite, const std::string& id) { return id.substr(suite.size() + 1); }

std::string Details(const ReportCase& item) {
  std::string text = item.reason + "\n";
  for (const Judgement& judgement : item.judgements) {
    if (!IsTelling(judgement)) continue;
    text += fmt::format("{} {}: {:.4g}, bound {:.4g}, {:.4g} ({}), {} comparisons", judgement.metric,
                        Name(judgement.verdict), judgement.value, judgement.bound.soft, judgement.bound.hard,
                        judgement.bound.from.str(), judgement.comparisons);
    if (!judgement.fault.empty()) text += "; " + judgement.fault;
    if (!judgement.worst.empty()) text += "; worst at " + judgement.worst.ToString();
    if (judgement.first_outside) text += "; first at " + judgement.first_outside->ToString();
    text += "\n";
    if (!judgement.detail.empty()) text += "  " + judgement.detail + "\n";
  }
  return item.replay.empty() ? text : text + "replay: " + item.replay + "\n";
}

std::vector<TestCase> TestsOf(const Report& report) {
  std::vector<TestCase> tests;
  // What is wrong with the run as a whole is a test that errs: nothing else in the format makes a reader see red.
  for (const Trouble& trouble : Troubles(report))
    if (trouble.id.empty())
      tests.push_back({"assay", "the run is complete", 0, Status::kError, trouble.what, trouble.cause, trouble.cause});
  for (const ReportCase& item : report.cases) {
    TestCase test{item.suite, NameIn(item.suite, item.id()), item.duration_s, item.status, "", item.reason, ""};
    const Judgement* worst = Worst(item);
    test.type = item.status == Status::kError || worst == nullptr ? Name(item.status) : Name(worst->verdict);
    if (item.status == Status::kFail || item.status == Status::kError) test.details = Details(item);
    tests.push_back(std::move(test));
  }
  for (const ReportBenchmark& row : report.benchmarks) {
    double seconds = 0;
    for (const TimedSeries& series : row.series)
      for (const double sample : series.seconds) seconds += sample;
    tests.push_back({"bench", NameIn("bench", row.id()), seconds, row.status, std::string(Name(row.status)), row.reason,
                     row.reason});
  }
  if (report.gate) {
    for (const CellRow& row : CellRows(*report.gate, Decide(*report.gate))) {
      const CellVerdict verdict = *row.decision.verdict;
      tests.push_back({"gate", row.cell->id, 0, StatusOf(verdict), std::string(Name(verdict)), row.cause, row.cause});
    }
  }
  return tests;
}

void Write(const TestCase& test, Xml* xml) {
  xml->Open("testcase");
  xml->Attribute("classname", test.suite);
  xml->Attribute("name", test.name);
  xml->Attribute("time", Seconds(test.seconds));
  if (test.status == Status::kSkip) {
    xml->Open("skipped");
    xml->Attribute("message", test.reason);
    xml->Close();
  } else if (test.status != Status::kPass) {
    xml->Open(test.status == Status::kFail ? "failure" : "error");
    xml->Attribute("message", test.reason);
    xml->Attribute("type", test.type);
    xml->Text(test.details);
    xml->Close();
  }
  xml->Close();
}

void Write(const Counts& counts, Xml* xml) {
  xml->Attribute("tests", counts.tests);
  xml->Attribute("failures", counts.failures);
  xml->Attribute("errors", counts.errors);
  xml->Attribute("skipped", counts.skipped);
  xml->Attribute("time", Seconds(counts.seconds));
}

}  // namespace

Exported ExportJunit(const Report& report) {
  const std::string dropped =
      "judgements of cases that passed, bounds, budgets, rows on which the argmax was judged, figures and samples of "
      "benchmark rows, rounds of cells, what the device did, most of the environment; an unstable row is an error";
  const std::vector<TestCase> tests = TestsOf(report);
  // By suite, in the order in which suites first appear.
  std::vector<std::pair<std::string, std::vector<const TestCase*>>> suites;
  Counts all;
  for (const TestCase& test : tests) {
    all.Add(test);
    auto at = std::find_if(suites.begin(), suites.end(), [&](const auto& known) { return known.first == test.suite; });
    if (at == suites.end()) at = suites.insert(at, {test.suite, {}});
    at->second.push_back(&test);
  }
  Xml xml;
  xml.Open("testsuites");
  xml.Attribute("name", "assay " + report.kind);
  Write(all, &xml);
  for (const auto& [suite, members] : suites) {
    Counts counts;
    for (const TestCase* test : members) counts.Add(*test);
    xml.Open("testsuite");
    xml.Attribute("name", suite);
    Write(counts, &xml);
    // JUnit's own times have no zone: "2026-01-02T03:04:05".
    xml.Attribute("timestamp", report.started.substr(0, 19));
    xml.Attribute("hostname", report.environment.host.name);
    xml.Open("properties");
    xml.Property("verdict", Summarise(report).verdict);
    xml.Property("run", report.run_id);
    xml.Property("commit", report.environment.build.commit + (report.environment.build.dirty ? " (dirty)" : ""));
    xml.Property("device", DeviceNames(report));
    xml.Property("comparability", ComparabilityKey(report.environment));
    xml.Property("seed", fmt::format("{}", report.seed));
    xml.Property("dropped", dropped);
    xml.Close();
    for (const TestCase* test : members) Write(*test, &xml);
    xml.Close();
  }
  xml.Close();
  return {xml.Printed(), dropped};
}

}  // namespace assay

// Rules without a negative control: a rule is what a case judges by, its metric, and its control a fault on which it is
// WRONG. What no fault of the catalogue turns red is listed here, with what does instead.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "suites/faults/fault_cases.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

// Metrics that faults cannot turn red, or that another test does.
const std::map<std::string, std::string>& Elsewhere() {
  static const std::map<std::string, std::string> rules{
  };
  return rules;
}

// What clean runs of the small presets judge by.
std::set<std::string> Rules() {
  Workbench bench;
  CaseRunner runner(bench);
  std::set<std::string> rules;
  for (const char* model : {"tiny-gemma4-ple", "tiny-gemma4-moe", "tiny-llama"})
    for (const Case& item : ListCases(bench, {{model}, {Precision::kFp32}, {Device::Host()}}, {})) {
      if (item.suite == "Controls" || item.suite == "Loader" || item.suite == "Geometries") continue;
      if (item.suite == "Ops" && item.name != "WithinSteps") continue;
      for (const Judgement& judgement : runner.Run(item).judgements)
        if (!judgement.metric.ends_with("_comparisons") && !judgement.metric.ends_with("_budget"))
          rules.insert(judgement.metric);
    }
  return rules;
}

TEST(NegativeControls, EveryRuleHasOne) {
  const auto tally = std::make_shared<FaultTally>();
  FaultOptions options;
  options.tally = tally;
  Workbench bench;
  CaseRunner runner(bench);
  for (const Case& item : FaultCases(options)) runner.Run(item);
  std::set<std::string> controlled;
  for (const auto& [id, fault] : tally->faults) controlled.insert(fault.judged_red.begin(), fault.judged_red.end());
  const std::set<std::string> rules = Rules();
  EXPECT_GT(rules.size(), 20u);
  for (const std::string& rule : rules)
    EXPECT_TRUE(controlled.contains(rule) || Elsewhere().contains(rule)) << rule << " has no negative control";
  for (const auto& [rule, why] : Elsewhere()) {
    EXPECT_TRUE(rules.contains(rule)) << rule << " is no rule";
    EXPECT_FALSE(controlled.contains(rule)) << rule << " has one: " << why;
  }
}

}  // namespace
}  // namespace assay

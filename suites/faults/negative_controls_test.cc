// Rules without a negative control: a rule is what a case judges by, its metric, and its control a fault on which it is
// WRONG. What no fault of the catalogue turns red is listed here, with the reason.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "suites/faults/fault_cases.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

// Metrics that no fault of the catalogue turns red. A new rule needs a fault, or a reason here.
const std::map<std::string, std::string>& Without() {
  constexpr const char *kPlan = "of the KV plan: engine/unit/kv_plan_test.cc holds it against literal tables",
                       *kFailing = "of what the engine does when a call of it fails: no seam reaches there",
                       *kWitness = "that the case did what it set out to do: a witness, and no rule of the engine",
                       *kEarlier = "a case that runs before it is red under every fault that would turn it red";
  static const std::map<std::string, std::string> rules{
      {"alias", kPlan},
      {"writer", kPlan},
      {"own place", kPlan},
      {"fails", kFailing},
      {"sessions", kFailing},
      {"lengths", kFailing},
      {"healthy", kFailing},
      {"says it cannot go on", kFailing},
      {"nothing left", kFailing},
      {"reason", kFailing},
      {"nothing beyond an allocation", "a fault that writes there would damage the test's own memory"},
      {"failures injected", kWitness},
      {"lengths tried", kWitness},
      {"neighbours differ", kWitness},
      {"packed kernel engaged", kWitness},
      {"ops left out", "of the trunk's order of layers, which no seam changes"},
      {"greedy_text", kEarlier},
      {"in sight", kEarlier},
      {"moves", kEarlier},
      {"neighbour untouched", kEarlier},
      {"rows", kEarlier},
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
    EXPECT_TRUE(controlled.contains(rule) || Without().contains(rule)) << rule << " has no negative control";
  for (const auto& [rule, why] : Without()) {
    EXPECT_TRUE(rules.contains(rule)) << rule << " is no rule";
    EXPECT_FALSE(controlled.contains(rule)) << rule << " has one: " << why;
  }
}

}  // namespace
}  // namespace assay

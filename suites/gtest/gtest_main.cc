// Every case of every suite as a gtest test of the same name; a case that cannot run here shows as skipped with its
// reason.
//
// Options beside gtest's: --model=NAME and --device=NAME keep only their cases, --groups lists the pairs. CTest runs
// one process per pair, because cases of a model share references and calibrations. Exit codes: 0 passed, 1 failed, 2
// cannot list the cases, 77 all skipped.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <set>
#include <string>
#include <string_view>

#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

constexpr int kAllSkipped = 77;

class CaseTest : public testing::Test {
 public:
  CaseTest(const Case& item, CaseRunner& runner, std::set<std::string>& skipped)
      : item_(item), runner_(runner), skipped_(skipped) {}
  void TestBody() override {
    const CaseOutcome outcome = runner_.Run(item_);
    if (outcome.status == Status::kSkip) {
      skipped_.insert(outcome.reason);
      GTEST_SKIP() << outcome.reason;
    }
    if (outcome.status == Status::kPass) return;
    for (const Judgement& judgement : outcome.judgements)
      fmt::print("  {} ({}) {}\n", Describe(judgement), judgement.bound.from.str(), judgement.detail);
    FAIL() << Name(outcome.status) << ": " << outcome.reason << "\nreplay: " << ReplayLine(item_);
  }

 private:
  const Case& item_;
  CaseRunner& runner_;
  std::set<std::string>& skipped_;  // reasons
};

// Fills `value` from "--name=value".
bool Option(std::string_view argument, std::string_view name, std::vector<std::string>* value) {
  if (!argument.starts_with(name)) return false;
  *value = {std::string(argument.substr(name.size()))};
  return true;
}

int RunTests(Workbench& bench, const std::vector<Case>& cases) {
  CaseRunner runner(bench);
  std::set<std::string> skipped;
  for (const Case& item : cases) {
    const std::string name = fmt::format("{}/{}", item.name, item.axes.ToString());
    testing::RegisterTest(item.suite.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [&]() -> testing::Test* { return new CaseTest(item, runner, skipped); });
  }
  const int code = RUN_ALL_TESTS();
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  const bool ran = all.successful_test_count() + all.failed_test_count() > 0;
  if (code != 0 || ran || all.skipped_test_count() == 0) return code;
  // CTest says no more than that it was skipped: ci/run.sh picks these lines up.
  for (const std::string& reason : skipped) fmt::print("all skipped: {}\n", reason);
  return kAllSkipped;
}

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::vector<std::string> models = DefaultModels(), devices{"host", "cuda"}, modes;
  bool groups = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--groups") {
      groups = true;
    } else if (!Option(argument, "--model=", &models) && !Option(argument, "--device=", &devices) &&
               !Option(argument, "--dtype=", &modes)) {
      fmt::print(stderr, "option {}: expected --groups, --model=, --device=, --dtype=NAME or gtest's own\n", argument);
      return 2;
    }
  }
  if (groups) {
    for (const std::string& model : models)
      for (const std::string& device : devices) fmt::print("{} {}\n", model, device);
    return 0;
  }
  SuiteInputs inputs{models, DefaultDtypes(), {}, 0};
  if (!modes.empty()) inputs.dtypes = {PrecisionFromName(modes.front())};
  for (const std::string& device : devices) inputs.devices.push_back(Device::FromName(device));
  Workbench bench;
  std::vector<Case> cases =
      models.size() == 1 ? ListCasesOfModel(bench, inputs, models.front()) : ListCases(bench, inputs);
  // Some cases belong to a device whatever was asked for: a small model's reference is always on the host.
  std::erase_if(cases, [&](const Case& item) {
    return std::find(inputs.devices.begin(), inputs.devices.end(), item.target.device) == inputs.devices.end();
  });
  return RunTests(bench, cases);
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  try {
    return assay::Main(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "cannot list the cases: {}\n", error.what());
    return 2;
  }
}

// Every case of every suite as a gtest test of the same name, so that CTest runs, filters and reports them one by one; a case
// that cannot run here shows as skipped with its reason.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <exception>

#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

constexpr std::uint64_t kSeed = 0;

class CaseTest : public testing::Test {
 public:
  CaseTest(const Case& item, CaseRunner& runner) : item_(item), runner_(runner) {}
  void TestBody() override {
    const CaseOutcome outcome = runner_.Run(item_);
    const ReportCase report = ToReport(item_, outcome, ReplayLine(item_, kSeed));
    if (outcome.status == CaseOutcome::Status::kSkip) GTEST_SKIP() << outcome.reason;
    for (const ReportJudgement& judgement : report.judgements) {
      fmt::print("  {:9} {} = {:.4g} of {:.4g} ({}) {} {}\n", judgement.verdict, judgement.metric, judgement.value, judgement.bound,
                 judgement.bound_from, judgement.worst, judgement.detail);
    }
    if (outcome.status != CaseOutcome::Status::kPass) FAIL() << report.status << ": " << report.reason << "\nreplay: " << report.replay;
  }

 private:
  const Case& item_;
  CaseRunner& runner_;
};

int Main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const std::vector<Case> cases = ListCases({DefaultModels(), DefaultDtypes(), {"host", "cuda"}, kSeed});
  CaseRunner runner;
  for (const Case& item : cases) {
    const std::string name = item.name + (item.params.empty() ? "" : "/" + item.params);
    testing::RegisterTest(item.suite.c_str(), name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [&item, &runner]() -> testing::Test* { return new CaseTest(item, runner); });
  }
  return RUN_ALL_TESTS();
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

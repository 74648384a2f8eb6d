#include "suites/parity/soak.h"

#include <gtest/gtest.h>

#include "engine/base/portable.h"
#include "suites/support/runner.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

TEST(Soak, GrowthIsOfTheSecondHalf) {
  std::vector<double> samples(100, 50);
  EXPECT_EQ(Growth(samples), 0);
  for (std::size_t i = 0; i < 20; ++i) samples[i] = static_cast<double>(i);  // a process begins
  EXPECT_EQ(Growth(samples), 0);
  samples[30] = 80, samples[70] = 75;  // peaks
  EXPECT_EQ(Growth(samples), 0);
  for (std::size_t i = 20; i < 100; ++i) samples[i] = static_cast<double>(i);  // a leak
  EXPECT_EQ(Growth(samples), 50);
  EXPECT_EQ(Growth({1, 2, 3}), 0);
}

TEST(Soak, AShortOnePasses) {
  if (ASSAY_ADDRESS_SANITIZER) GTEST_SKIP() << "AddressSanitizer keeps freed memory back: no soak's memory is flat";
  Workbench bench;
  const CaseOutcome outcome = CaseRunner(bench).Run(SoakCase({.model = "tiny-llama"}, 1));
  EXPECT_EQ(outcome.status, Status::kPass) << outcome.reason;
  EXPECT_GE(outcome.judgements.size(), 5u);
}

TEST(Soak, SeesAWrongEngine) {
  PlantedBench planted(Fault::kFirstRowPosition);
  const CaseOutcome outcome = CaseRunner(planted.bench()).Run(SoakCase({.model = "tiny-gemma4-ple"}, 10));
  EXPECT_TRUE(planted.engaged());
  EXPECT_EQ(outcome.status, Status::kFail) << outcome.reason;
}

}  // namespace
}  // namespace assay

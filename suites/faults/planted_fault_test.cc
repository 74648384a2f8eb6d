// A fault under every suite: one that the suite must see, planted beneath every engine that its cases open.
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "oracles/probes/forwarding_memory.h"
#include "suites/suites.h"
#include "suites/support/runner.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

using Witness = std::shared_ptr<bool>;  // whether the fault has changed anything
using Planter = std::unique_ptr<EngineProvider> (*)(Witness engaged);

template <Fault kFault>
std::unique_ptr<EngineProvider> Plant(Witness engaged) {
  return Decorated<WitnessedFault>(kFault, std::move(engaged));
}

// Memory whose copies within the device never arrive: a fork gets a place and none of its tokens.
class LosesCopies final : public ForwardingMemory {
 public:
  LosesCopies(Memory& inner, Witness engaged) : ForwardingMemory(inner), engaged_(std::move(engaged)) {}
  void Copy(void*, const void*, std::size_t) override { *engaged_ = true; }

 private:
  Witness engaged_;
};

template <class Probe>
std::unique_ptr<EngineProvider> PlantProbe(Witness engaged) {
  return Decorated<Probe>(std::move(engaged));
}

struct Planted {
  const char* suite;
  const char* seen_by;  // one of the cases that must fail
  const char* model;
  Planter plant;
  Precision precision = Precision::kFp32;
  friend std::ostream& operator<<(std::ostream& out, const Planted& planted) { return out << planted.suite; }
};

const Planted kPlanted[] = {
    {"Controls", "Rows", "tiny-llama", Plant<Fault::kWrongActivation>},
    {"Loader", "Settings", "tiny-llama", Plant<Fault::kWrongActivation>},
    {"Ops", "WithinSteps", "tiny-llama", Plant<Fault::kWrongActivation>},
    // The same everywhere: only an answer from outside tells.
    {"Golden", "SystemMatches", "hf-tiny/llama3", Plant<Fault::kWrongActivation>},
    {"Prefill", "PackedEqualsSerial", "tiny-gemma4-ple", Plant<Fault::kNeighbourCache>},
    {"Decode", "EqualsPrefill", "tiny-gemma4-ple", Plant<Fault::kLateStep>},
    {"BatchedDecode", "MatchesSingleUser", "tiny-gemma4-ple", Plant<Fault::kStaleRow>},
    {"CacheAliasing", "WritesOnlyItsSlots", "tiny-gemma4-ple", Plant<Fault::kLateStep>},
    {"RingWrap", "WindowLocality", "tiny-gemma4-ple", Plant<Fault::kWindowIsRing>},
    {"Schedule", "ForkAndDiverge", "tiny-gemma4-ple", PlantProbe<OpsOverMemory<LosesCopies>>},
    {"Geometries", "RandomMoves", "tiny-llama", Plant<Fault::kNeighbourCache>},
    {"Invariance", "Permutation", "tiny-gemma4-ple", Plant<Fault::kNeighbourCache>},
    {"KnownAnswers", "AllRight", "gemma4-nano", Plant<Fault::kNeighbourCache>},
    {"Experts", "DecideWithinTheError", "tiny-gemma4-moe", PlantProbe<OtherExpert>, Precision::kBf16},
    // What is not written shows in memory full of NaN.
    {"Failure", "RefusedAllocation", "tiny-gemma4-ple", Plant<Fault::kStaleRow>},
    {"Shapes", "Decode", "tiny-gemma4-ple", Plant<Fault::kLateStep>},
};

struct NotPlanted {
  const char* suite;
  const char* why;
};
const NotPlanted kNotPlanted[] = {
    {"CudaReference", "it needs a GPU; faults in one of two programs: suites/parity/reference_programs_test.cc"},
    {"Declaration", "of systems of other processes; wrong declarations: ci/system_checks.sh"},
    {"RealGeometry",
     "it needs a GPU and a large model; faults under its scenario: suites/parity/batch_scenario_test.cc"},
};

struct Ran {
  std::string id, name;
  CaseOutcome outcome;
};

std::vector<Ran> RunSuite(Workbench& bench, const Planted& planted) {
  CaseRunner runner(bench);
  std::vector<Ran> ran;
  for (const Case& item : ListCases(bench, {{planted.model}, {planted.precision}, {Device::Host()}}, {planted.suite}))
    ran.push_back({item.id(), item.name, runner.Run(item)});
  return ran;
}

class FaultUnderSuite : public testing::TestWithParam<Planted> {};

TEST_P(FaultUnderSuite, IsSeen) {
  const auto engaged = std::make_shared<bool>(false);
  Workbench bench(GetParam().plant(engaged));
  const std::vector<Ran> ran = RunSuite(bench, GetParam());
  // Red because of what was compared: a case that an exception broke off has seen nothing.
  EXPECT_TRUE(
      std::any_of(ran.begin(), ran.end(),
                  [](const Ran& one) { return one.name == GetParam().seen_by && one.outcome.status == Status::kFail; }))
      << GetParam().suite << " stays green";
  EXPECT_TRUE(*engaged);
}

TEST_P(FaultUnderSuite, IsWhatMakesItRed) {
  Workbench bench;
  const std::vector<Ran> ran = RunSuite(bench, GetParam());
  ASSERT_FALSE(ran.empty());
  for (const Ran& one : ran) EXPECT_EQ(one.outcome.status, Status::kPass) << one.id << ": " << one.outcome.reason;
}

INSTANTIATE_TEST_SUITE_P(, FaultUnderSuite, testing::ValuesIn(kPlanted),
                         [](const auto& tested) { return std::string(tested.param.suite); });

// Suites of the table that are in neither list or in both.
std::vector<std::string> Unaccounted(const std::vector<std::string>& suites) {
  std::vector<std::string> wrong;
  for (const std::string& suite : suites) {
    const auto is = [&](const auto& entry) { return entry.suite == suite; };
    const auto times = std::count_if(std::begin(kPlanted), std::end(kPlanted), is) +
                       std::count_if(std::begin(kNotPlanted), std::end(kNotPlanted), is);
    if (times != 1) wrong.push_back(suite);
  }
  return wrong;
}

TEST(FaultUnderEverySuite, IsPlantedOrLeftOutForAReason) {
  std::vector<std::string> suites;
  for (const SuiteEntry& entry : Suites()) suites.emplace_back(entry.name);
  EXPECT_EQ(Unaccounted(suites), std::vector<std::string>());
  EXPECT_EQ(suites.size(), std::size(kPlanted) + std::size(kNotPlanted)) << "a suite that is listed exists";
  for (const NotPlanted& entry : kNotPlanted) EXPECT_FALSE(std::string(entry.why).empty()) << entry.suite;
  EXPECT_EQ(Unaccounted({"Prefill", "Brandnew"}), std::vector<std::string>{"Brandnew"});
}

// What stays out of kPlanted does so because nothing of it runs here.
TEST(FaultUnderEverySuite, LeavesOutOnlySuitesWithoutCasesOnTheHost) {
  Workbench bench;
  for (const NotPlanted& entry : kNotPlanted)
    EXPECT_TRUE(
        ListCases(bench, {{"tiny-gemma4-ple", "gemma4-e2b"}, {Precision::kFp32}, {Device::Host()}}, {entry.suite})
            .empty())
        << entry.suite;
}

}  // namespace
}  // namespace assay

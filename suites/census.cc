#include "suites/census.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "suites/suites.h"
#include "suites/support/embedded.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

struct Listed {
  const char* suite;
  const char* cases;  // names with their own axes, a comma between two
};
struct Census {
  const char* model;
  Precision precision;
  std::vector<Listed> suites;  // in the order of the table of suites
};

constexpr const char* kLoader =
    "SplitExperts family=gemma4, NotFinite family=qwen3, Settings family=llama, ConfigKeys family=llama, MetadataKeys "
    "family=llama, "
    "Settings family=mistral, ConfigKeys family=mistral, Settings family=qwen2, ConfigKeys family=qwen2, "
    "MetadataKeys family=qwen2, Settings family=qwen3, ConfigKeys family=qwen3, MetadataKeys family=qwen3, "
    "Settings family=gemma3, ConfigKeys family=gemma3, MetadataKeys family=gemma3, Settings family=gemma4, "
    "ConfigKeys family=gemma4, MetadataKeys family=gemma4";
constexpr const char* kBatched =
    "MatchesSingleUser n=1, MatchesSingleUser n=2, MatchesSingleUser n=3, MatchesSingleUser n=5, MatchesSingleUser "
    "n=8, "
    "MatchesSingleUser n=16, MatchesSingleUser n=17, MatchesSingleUser n=33";
constexpr const char* kGraphs =
    "EqualsPrefill, GraphEqualsSteps n=1, GraphEqualsSteps n=3, GraphEqualsSteps n=5, GraphEqualsSteps n=9, "
    "GraphEqualsSteps n=33";
constexpr const char* kCaches = "DonorMap, WritesOnlyItsSlots, UnusedPlacesDoNotMatter";
constexpr const char* kSchedules =
    "JoinLeave, ForkAndDiverge, RollbackSpeculative, TruncateReplays, RandomMoves number=0, RandomMoves number=1, "
    "RandomMoves number=2, RandomMoves number=3, RandomMoves number=4, RandomMoves number=5, ForksAroundTheRing, "
    "BackTwice, FailuresTakenBack, LongDecode";
constexpr const char* kRelations = "Permutation, FillerIndependence, Duplicates, RunToRun, Causality, MixedSteps";
constexpr const char* kFailures = "StepThatThrows, LostDevice, ForkThatThrows, RefusedAllocation";
constexpr const char* kShapes = "Decode n=3 context=240, Prefill prompts=3 tokens=65";

std::vector<Census> Expected() {
  return {
      {"tiny-gemma4-ple",
       Precision::kFp32,
       {{"Prefill", "MatchesReference, ChunkedEqualsWhole, PackedEqualsSerial, SkippedTailEqualsFull"},
        {"Decode", kGraphs},
        {"BatchedDecode", kBatched},
        {"CacheAliasing", kCaches},
        {"RingWrap",
         "MatchesStraightCache length=1, MatchesStraightCache length=2, MatchesStraightCache length=5, "
         "MatchesStraightCache length=6, MatchesStraightCache length=7, MatchesStraightCache length=13, "
         "MatchesStraightCache length=14, MatchesStraightCache length=15, MatchesStraightCache length=20, "
         "WindowLocality"},
        {"Schedule", kSchedules},
        {"Invariance", kRelations},
        {"Failure", kFailures},
        {"Shapes", kShapes}}},
      {"tiny-gemma4-moe",
       Precision::kBf16,
       {{"Prefill", "ChunkedEqualsWhole, PackedEqualsSerial, SkippedTailEqualsFull"},
        {"Decode", kGraphs},
        {"BatchedDecode", kBatched},
        {"CacheAliasing", kCaches},
        {"RingWrap",
         "MatchesStraightCache length=1, MatchesStraightCache length=2, MatchesStraightCache length=4, "
         "MatchesStraightCache length=5, MatchesStraightCache length=6, MatchesStraightCache length=11, "
         "MatchesStraightCache length=12, MatchesStraightCache length=13, MatchesStraightCache length=17, "
         "WindowLocality"},
        {"Schedule", kSchedules},
        {"Invariance", kRelations},
        {"Experts", "DecideWithinTheError"},
        {"Failure", kFailures},
        {"Shapes", kShapes}}},
      {"gemma4-nano",
       Precision::kFp32,
       {{"Golden", "ReferenceMatches, SystemMatches"},
        {"Prefill", "MatchesReference, ChunkedEqualsWhole, PackedEqualsSerial, SkippedTailEqualsFull"},
        {"Decode", "EqualsPrefill, GraphEqualsSteps n=1, GraphEqualsSteps n=3, GraphEqualsSteps n=5"},
        {"BatchedDecode", kBatched},
        {"CacheAliasing", kCaches},
        {"RingWrap",
         "MatchesStraightCache length=1, MatchesStraightCache length=2, MatchesStraightCache length=63, "
         "MatchesStraightCache length=64, MatchesStraightCache length=65, MatchesStraightCache length=126, "
         "MatchesStraightCache length=127, MatchesStraightCache length=128, MatchesStraightCache length=194, "
         "WindowLocality"},
        {"Schedule",
         "JoinLeave, ForkAndDiverge, RollbackSpeculative, TruncateReplays, RandomMoves number=0, RandomMoves number=1"},
        {"Invariance", kRelations},
        {"KnownAnswers", "AllRight n=1, AllRight n=16"},
        {"Failure", kFailures},
        {"Shapes", kShapes}}},
  };
}

std::string OwnName(const Case& item) {
  std::string text = item.name;
  const Axes target = item.target.axes();
  for (const auto& [axis, value] : item.axes.all()) {
    if (target.Find(axis) != nullptr) continue;
    const std::optional<std::int64_t> number = item.axes.Number(axis);
    text += fmt::format(" {}={}", axis, number ? std::to_string(*number) : item.axes.Text(axis));
  }
  return text;
}

// [suite] the cases of one target, of all suites together as the command lists them.
std::map<std::string, std::string> Found(const std::vector<Case>& cases) {
  std::map<std::string, std::string> found;
  for (const Case& item : cases) {
    std::string& text = found[item.suite];
    text += (text.empty() ? "" : ", ") + OwnName(item);
  }
  return found;
}

void CountCases(CaseState& state) {
  // Of all lists of ops; of the suite Controls, this one among them; of made-up geometries.
  constexpr int kOpCases = 111, kOfNoModel = 7, kGeometries = 24;
  const auto equal = [&](const std::string& what, const std::string& expected, const std::string& found) {
    state.check.True(expected == found, "listed", Place(what, {}),
                     fmt::format("expected [{}], found [{}]", expected, found));
  };
  for (const Census& census : Expected()) {
    const std::vector<Case> cases =
        ListCases(state.bench, {{census.model}, {census.precision}, {Device::Host()}, state.target.seed}, {});
    std::map<std::string, std::string> found = Found(cases);
    const auto count = [&](const char* suite) {
      return std::to_string(std::ranges::count_if(cases, [&](const Case& item) { return item.suite == suite; }));
    };
    equal(fmt::format("{} Ops", census.model), std::to_string(kOpCases), count("Ops"));
    equal(fmt::format("{} Controls", census.model), std::to_string(kOfNoModel), count("Controls"));
    equal(fmt::format("{} Loader", census.model), kLoader, found["Loader"]);
    equal(fmt::format("{} Geometries", census.model), std::to_string(kGeometries), count("Geometries"));
    for (const char* suite : {"Ops", "Controls", "Loader", "Geometries"}) found.erase(suite);
    for (const Listed& listed : census.suites) {
      equal(fmt::format("{} {}", census.model, listed.suite), listed.cases, found[listed.suite]);
      found.erase(listed.suite);
    }
    for (const auto& [suite, more] : found) equal(fmt::format("{} {}", census.model, suite), "", more);
    std::size_t grouped = 0;
    for (const CaseGroup& group : GroupCases(state.bench, SelectCases(cases, std::vector<std::string>{"*"})))
      grouped += group.cases.size();
    equal(fmt::format("{} selected, in groups", census.model), std::to_string(cases.size()), std::to_string(grouped));
  }
}

// Every checkpoint below the fixtures' folders is a model that wildcards find.
void CountModels(CaseState& state) {
  namespace fs = std::filesystem;
  const std::string root = FixtureRoot();
  std::size_t there = 0;
  for (const char* folder : {"models", "goldens/hf-tiny", "goldens/gguf-tiny"})
    for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(root) / folder))
      there += fs::exists(entry.path() / "config.json") || entry.path().extension() == ".gguf";
  const std::size_t found = MatchModels({"*-nano*", "hf-tiny/*", "gguf-tiny/*"}).size();
  state.check.True(there > 0 && found == there, "listed", {"embedded models", {}},
                   fmt::format("{} on the disk, {} listed", there, found));
  // The engine of this tree can do all that suites ask for: none of their cases is skipped for want of something.
  using enum Capability;
  for (const Capability each : {kBatch, kMixed, kFork, kTruncate, kDecode, kLogits, kRawLogits, kInternals})
    state.check.True(EngineProvider().CapabilitiesOf(state.target).Has(each).ok, "capabilities", Place(Name(each), {}));
}

}  // namespace

std::vector<Case> CensusCases(const std::vector<Target>& targets) {
  std::vector<Case> cases;
  for (const Target& any : OncePerDevice(targets)) {
    cases.push_back(MakeCase("Controls", "Census", any, {}, {}, [](CaseState& state) {
      std::int64_t stated = 1;
      for (const Census& census : Expected()) stated += 5 + std::ssize(census.suites);
      state.check.AtLeast("listed", stated);
      CountCases(state);
      CountModels(state);
    }));
    cases.back().axes = Axes({{"model", any.axes().Text("model")}, {"device", any.device.kind_name()}});
  }
  return cases;
}

}  // namespace assay

// What identifies a case, which cases belong together, and how models that share a name are told apart.
#include "suites/support/case.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "engine/testing/complaint.h"
#include "engine/testing/scratch_folder.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

TEST(Axes, OfATargetComeFirstAndPrintInOrder) {
  const Target target{.model = "tiny-llama", .device = Device::Cuda(2), .precision = Precision::kBf16};
  const Case item = MakeCase("Suite", "Name", target, {{"n", 8}, {"kind", "odd"}}, {}, nullptr);
  EXPECT_EQ(item.id(), "Suite.Name/tiny-llama/bf16/cuda/n=8/kind=odd");
  EXPECT_EQ(item.axes.Number("n"), 8);
  EXPECT_EQ(item.axes.Text("model"), "tiny-llama");
  EXPECT_EQ(item.axes.Number("model"), std::nullopt);
  EXPECT_EQ(item.axes.Find("mode"), nullptr);
}

TEST(Axes, NameTheModeOnlyWhereItIsOn) {
  EXPECT_EQ((Target{.model = "tiny-llama", .batch_invariant = true}.axes().Text("mode")), "batch-invariant");
  EXPECT_EQ((Target{.model = "tiny-llama"}.axes().Find("mode")), nullptr);
}

TEST(ModelLabel, IsNeverAPathOfThisMachine) {
  EXPECT_EQ(ModelLabel("hf-tiny/llama3"), "hf-tiny/llama3");
  EXPECT_EQ(ModelLabel("hf-tiny/llama3@q8_0"), "hf-tiny/llama3@q8_0");
  EXPECT_EQ(ModelLabel("/home/someone/models/mine"), "mine");
  EXPECT_EQ(ModelLabel("/home/someone/models/mine/"), "mine");
  EXPECT_EQ(ModelLabel("models/mine.gguf@q4_0"), "mine.gguf@q4_0");
  EXPECT_EQ((Target{.model = "/a/b", .label = "b#01234567"}.axes().Text("model")), "b#01234567");
}

// Folders with a copy of an embedded checkpoint each.
class TargetsOfFolders : public testing::Test {
 protected:
  std::string Copy(const std::string& embedded, const std::string& to) const {
    const fs::path folder = fs::path(scratch_.path()) / to;
    fs::create_directories(folder.parent_path());
    fs::copy(ResolveModel(embedded), folder, fs::copy_options::recursive);
    return folder.string();
  }
  std::vector<Target> Targets(const std::vector<std::string>& models) {
    return TargetsOf(bench_, {models, {Precision::kFp32}, {Device::Host()}});
  }

  const ScratchFolder scratch_;
  Workbench bench_;
};

TEST_F(TargetsOfFolders, OneNameAndOtherWeightsGetTheirIdentityBehindTheName) {
  const std::string a = Copy("hf-tiny/llama3", "a/mine"), b = Copy("hf-tiny/qwen3", "b/mine");
  const std::vector<Target> targets = Targets({a, b, "tiny-llama"});
  ASSERT_EQ(targets.size(), 3u);
  EXPECT_EQ(targets[0].label, "mine#" + bench_.Store(a, 0).Identity().substr(0, 8));
  EXPECT_EQ(targets[1].label, "mine#" + bench_.Store(b, 0).Identity().substr(0, 8));
  EXPECT_NE(targets[0].label, targets[1].label);
  EXPECT_EQ(targets[2].label, "tiny-llama");
  EXPECT_EQ(Targets({a}).front().label, "mine") << "alone it needs no more";
}

TEST_F(TargetsOfFolders, TheSameWeightsUnderTheSameNameAreRefusedNamingBoth) {
  const std::string a = Copy("hf-tiny/llama3", "a/mine"), b = Copy("hf-tiny/llama3", "b/mine");
  const std::string complaint = Complaint([&] { Targets({a, b}); });
  for (const std::string& part : {std::string("is there twice"), a, b})
    EXPECT_NE(complaint.find(part), std::string::npos) << complaint;
}

TEST_F(TargetsOfFolders, AreTheProductOfTheLists) {
  const SuiteInputs inputs{
      {"tiny-llama", "tiny-gemma3"}, {Precision::kFp32, Precision::kBf16}, {Device::Host(), Device::Cuda(1)}, 7, true};
  const std::vector<Target> targets = TargetsOf(bench_, inputs);
  std::set<std::string> axes;
  for (const Target& target : targets) {
    axes.insert(target.axes().ToString());
    EXPECT_EQ(target.seed, 7u);
    EXPECT_TRUE(target.batch_invariant);
  }
  EXPECT_EQ(targets.size(), 8u);
  EXPECT_EQ(axes.size(), 8u);
}

TEST_F(TargetsOfFolders, IdsAreUniqueOverAWholeRun) {
  std::vector<std::string> models = DefaultModels();
  models.push_back(Copy("hf-tiny/llama3", "a/mine"));
  models.push_back(Copy("hf-tiny/qwen3", "b/mine"));
  std::set<std::string> ids;
  const std::vector<Case> cases = ListCases(bench_, {models, DefaultDtypes(), {Device::Host(), Device::Cuda()}});
  for (const Case& item : cases) EXPECT_TRUE(ids.insert(item.id()).second) << item.id();
  EXPECT_GT(cases.size(), 1000u);
}

TEST(ListCases, RefusesUnknownSuitesAndNamesThoseThereAre) {
  Workbench bench;
  const std::string complaint = Complaint([&] {
    ListCases(bench, {{"tiny-llama"}, {Precision::kFp32}, {Device::Host()}}, {"Prefil"});
  });
  for (const SuiteEntry& suite : Suites()) EXPECT_NE(complaint.find(suite.name), std::string::npos) << complaint;
}

Case Of(const char* name, const char* model, Device device = {}, double tokens = 200) {
  Case item = MakeCase("Suite", name, {.model = model, .device = device}, {}, {}, nullptr);
  item.tokens = tokens;
  return item;
}

TEST(GroupCases, HoldsWhatSharesAModelOnAKindOfDeviceInOrder) {
  Workbench bench;
  const std::vector<CaseGroup> groups = GroupCases(
      bench,
      {Of("A", "tiny-llama"), Of("B", "tiny-gemma3"), Of("C", "tiny-llama", Device::Cuda(1)), Of("D", "tiny-llama")});
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].model, "tiny-llama");
  EXPECT_EQ(groups[0].device, "host");
  ASSERT_EQ(groups[0].cases.size(), 2u);
  EXPECT_EQ(groups[0].cases[0].name, "A");
  EXPECT_EQ(groups[0].cases[1].name, "D");
  EXPECT_EQ(groups[1].model, "tiny-gemma3");
  EXPECT_EQ(groups[2].device, "cuda");
}

TEST(GroupCases, StateWhatASchedulerNeeds) {
  Workbench bench;
  const CaseGroup small = GroupCases(bench, {Of("A", "tiny-llama")}).front(),
                  large = GroupCases(bench, {Of("A", "gemma4-e2b", Device::Cuda())}).front(),
                  longer = GroupCases(bench, {Of("A", "tiny-llama", {}, 1e6)}).front();
  const auto weights = static_cast<double>(WeightCount(bench.Spec({.model = "gemma4-e2b"})));
  EXPECT_GE(static_cast<double>(large.memory_bytes), 2 * weights) << "bf16 as stored: two bytes a weight";
  EXPECT_GT(small.memory_bytes, 0u);
  EXPECT_GT(large.seconds, small.seconds);
  EXPECT_GT(longer.seconds, small.seconds);
}

}  // namespace
}  // namespace assay

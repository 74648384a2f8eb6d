// What runs when nothing is asked for, what names stand for, and how the table of suites is listed.
#include "suites/suites.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/testing/complaint.h"

namespace assay {
namespace {

using Names = std::vector<std::string>;

TEST(DefaultModels, CoverEveryFamilyInItsFormats) {
  const Names models = DefaultModels();
  const auto has = [&](const std::string& name) {
    return std::find(models.begin(), models.end(), name) != models.end();
  };
  for (const char* name :
       {"gemma4-nano", "gemma4-nano-moe", "qwen3-nano", "hf-tiny/gemma4-e2b", "hf-tiny/llama3", "hf-tiny/mistral"}) {
    EXPECT_TRUE(has(name)) << name;
    EXPECT_TRUE(has(std::string(name) + "@q8_0")) << name;
  }
  for (const char* name : {"gguf-tiny/gemma3", "gguf-tiny/qwen2", "tiny-llama", "tiny-gemma4-moe"})
    EXPECT_TRUE(has(name)) << name;
  EXPECT_EQ(std::count_if(models.begin(), models.end(), [](const auto& name) { return name.ends_with("@q8_0"); }), 13);
}

TEST(DefaultModels, AreEachThereOnceAndSmall) {
  Workbench bench;
  std::set<std::string> seen;
  for (const std::string& model : DefaultModels()) {
    EXPECT_TRUE(seen.insert(model).second) << model;
    EXPECT_FALSE(IsLarge(bench.Store(model, 0).spec())) << model;
  }
}

TEST(MatchModels, TakesNamesWildcardsAndSuffixesInOrderEachOnce) {
  EXPECT_EQ(MatchModels({"tiny-llama", "*-nano", "gemma4-nano"}), (Names{"tiny-llama", "gemma4-nano", "qwen3-nano"}));
  EXPECT_EQ(MatchModels({"qwen3-nano@q4_0"}), (Names{"qwen3-nano@q4_0"}));
  EXPECT_EQ(MatchModels({"*-nano@q8_0"}), (Names{"gemma4-nano@q8_0", "qwen3-nano@q8_0"}));
  EXPECT_EQ(MatchModels({"gemma4-nano@q8_0,tiny-llama,qwen3-nano@q4_0"}),
            (Names{"gemma4-nano@q8_0", "tiny-llama", "qwen3-nano@q4_0"}));
}

TEST(MatchModels, RefusesWhatMatchesNothingAndSaysWhatThereIs) {
  EXPECT_THROW(MatchModels({"tiny-llama", "nothing"}), NoSuchModel);
  const std::string complaint = Complaint([] { MatchModels({"nothing"}); });
  for (const char* part : {"'nothing'", "gemma4-nano", "tiny-llama"})
    EXPECT_NE(complaint.find(part), std::string::npos) << complaint;
}

TEST(Suites, AreListedInTableOrderAndOnlyThoseAskedFor) {
  Workbench bench;
  const SuiteInputs inputs{{"tiny-llama"}, {Precision::kFp32}, {Device::Host()}};
  Names order;
  for (const Case& item : ListCases(bench, inputs, {"Schedule", "Prefill"}))
    if (order.empty() || order.back() != item.suite) order.push_back(item.suite);
  EXPECT_EQ(order, (Names{"Prefill", "Schedule"}));
}

// The table's name is what ids begin with: a suite under another name could not be asked for.
TEST(Suites, NameTheirCasesAsTheTableDoes) {
  Workbench bench;
  for (const SuiteEntry& suite : Suites()) {
    if (std::string_view(suite.name) == "Declaration") continue;  // of systems of other processes: ci/system_checks.sh
    std::size_t listed = 0;
    for (const char* model : {"gemma4-nano", "tiny-gemma4-moe", "gemma4-e2b"})
      for (const Device& device : {Device::Host(), Device::Cuda()})
        for (const Case& item :
             ListCases(bench, {{model}, {Precision::kFp32, Precision::kBf16}, {device}}, {suite.name})) {
          EXPECT_EQ(item.suite, suite.name);
          ++listed;
        }
    EXPECT_GT(listed, 0u) << suite.name << " has no case of any model here";
  }
}

TEST(Suites, ListEachCaseForOneOfTheDefaultModels) {
  Workbench bench;
  const SuiteInputs inputs{DefaultModels(), {Precision::kBf16}, {Device::Host()}};
  std::map<std::string, int> listed;
  for (const std::string& model : DefaultModels())
    for (const Case& item : ListCasesOfModel(bench, inputs, model)) ++listed[item.id()];
  for (const Case& item : ListCases(bench, inputs)) EXPECT_EQ(listed[item.id()], 1) << item.id();
}

// As a replay line asks for it: by id, with its model and its mode alone.
TEST(Suites, ListACaseForItsOwnModelAgain) {
  Workbench bench;
  const SuiteInputs inputs{{"tiny-gemma4-moe", "gemma4-nano"}, {Precision::kFp32, Precision::kBf16}, {Device::Host()}};
  Names suites;
  for (const SuiteEntry& suite : Suites()) suites.emplace_back(suite.name);
  const std::vector<Case> all = ListCases(bench, inputs, suites);
  std::map<std::pair<std::string, Precision>, std::set<std::string>> again;
  for (const Case& item : all) {
    const auto [ids, fresh] = again.try_emplace({item.target.model, item.target.precision});
    if (fresh)
      for (const Case& other :
           ListCases(bench, {MatchModels({item.target.model}), {item.target.precision}, {Device::Host()}}, suites))
        ids->second.insert(other.id());
    EXPECT_TRUE(ids->second.contains(item.id())) << item.id();
  }
}

}  // namespace
}  // namespace assay

#include "suites/suites.h"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "engine/model/presets.h"
#include "engine/weights/requantised.h"
#include "suites/golden/golden_suite.h"
#include "suites/parity/parity.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

// Suites of one target, over all of them.
template <std::vector<Case> (*CasesOf)(Workbench&, const Target&)>
std::vector<Case> ForEachTarget(Workbench& bench, const std::vector<Target>& targets) {
  std::vector<Case> cases;
  for (const Target& target : targets) {
    std::vector<Case> more = CasesOf(bench, target);
    std::move(more.begin(), more.end(), std::back_inserter(cases));
  }
  return cases;
}

constexpr SuiteEntry kSuites[] = {
    {"Golden", "reference and system against recorded logits, hidden states, greedy text and answers", GoldenCases},
    {"Prefill", "whole, chunked, packed and tail-skipped prefill against the reference and each other",
     ForEachTarget<PrefillCases>},
    {"Decode", "one token at a time against prefill; recorded steps against single steps", ForEachTarget<DecodeCases>},
    {"BatchedDecode", "N ragged sessions for 16 steps against the reference and one user alone",
     ForEachTarget<BatchedDecodeCases>},
    {"CacheAliasing", "donors, writers, poisoned unused places, neighbours untouched",
     ForEachTarget<CacheAliasingCases>},
    {"RingWrap", "lengths around the window and the ring", ForEachTarget<RingWrapCases>},
    {"Schedule", "sessions that join, leave, fork and go back", ForEachTarget<ScheduleCases>},
    {"Invariance", "relations without tolerance: permutation, filler, duplicates, window locality",
     ForEachTarget<InvarianceCases>},
    {"KnownAnswers", "recorded text whose answers follow from earlier text, in batches",
     ForEachTarget<KnownAnswerCases>},
    {"Experts", "routing in 16-bit modes within the router's error, logits under the engine's own choices",
     ForEachTarget<ExpertsCases>},
    {"CudaReference", "the single-user CUDA reference and its twins against the host's",
     ForEachTarget<CudaReferenceCases>},
    {"Failure", "steps that fail half-way, allocations that are refused", ForEachTarget<FailureCases>},
    {"Shapes", "the very steps that benchmarks time, long contexts among them", ForEachTarget<ShapeCases>},
    {"RealGeometry", "large models on a device: windows passed, rings wrapped, up to 64 sessions",
     ForEachTarget<RealGeometryCases>},
};

std::vector<std::string> KnownModels() {
  std::vector<std::string> names;
  for (const EmbeddedModel& model : EmbeddedModels()) names.push_back(model.name);
  for (const std::string& preset : PresetNames()) names.push_back(preset);
  return names;
}

template <class Names>
std::string Joined(const Names& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

std::span<const SuiteEntry> Suites() { return kSuites; }

std::vector<Case> ListCases(Workbench& bench, const SuiteInputs& inputs, const std::vector<std::string>& suites) {
  for (const std::string& name : suites) {
    std::vector<std::string> known;
    for (const SuiteEntry& suite : Suites()) known.emplace_back(suite.name);
    Require(std::find(known.begin(), known.end(), name) != known.end(), "suite '{}': expected one of {}", name,
            Joined(known));
  }
  const std::vector<Target> targets = TargetsOf(bench, inputs);
  std::vector<Case> cases;
  std::set<std::string> ids;
  for (const SuiteEntry& suite : Suites()) {
    if (!suites.empty() && std::find(suites.begin(), suites.end(), suite.name) == suites.end()) continue;
    for (Case& item : suite.cases(bench, targets)) {
      Require<Error>(ids.insert(item.id()).second, "case {} is listed twice: its axes do not tell it apart", item.id());
      cases.push_back(std::move(item));
    }
  }
  return cases;
}

std::vector<std::string> DefaultModels() {
  std::vector<std::string> models = KnownModels();
  std::erase_if(models, [](const std::string& name) { return IsPreset(name) && !name.starts_with("tiny-"); });
  for (const EmbeddedModel& model : EmbeddedModels()) {
    if (!model.name.starts_with("gguf-tiny/")) models.push_back(model.name + "@q8_0");
  }
  return models;
}

std::vector<Precision> DefaultDtypes() { return {Precision::kFp32, Precision::kBf16, Precision::kFp16}; }

std::vector<std::string> MatchModels(const std::vector<std::string>& patterns) {
  const std::vector<std::string> known = KnownModels();
  std::vector<std::string> models;
  for (const std::string& pattern : patterns) {
    const QuantisedName wanted = SplitQuantisedName(pattern);
    std::vector<std::string> found;
    for (const std::string& name : known) {
      if (name == wanted.base || ::fnmatch(wanted.base.c_str(), name.c_str(), 0) == 0)
        found.push_back(name + wanted.suffix);
    }
    std::error_code error;
    if (found.empty() && std::filesystem::exists(wanted.base, error)) found.push_back(pattern);
    Require<NoSuchModel>(!found.empty(),
                         "model '{}' matches nothing: expected a checkpoint folder, a .gguf file or one of {}", pattern,
                         Joined(known));
    for (const std::string& name : found) {
      if (std::find(models.begin(), models.end(), name) == models.end()) models.push_back(name);
    }
  }
  return models;
}

}  // namespace assay

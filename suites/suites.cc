#include "suites/suites.h"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "engine/model/presets.h"
#include "engine/weights/requantised.h"
#include "suites/census.h"
#include "suites/golden/golden_suite.h"
#include "suites/parity/parity.h"
#include "suites/support/embedded.h"
#include "suites/support/names.h"

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

std::vector<Case> ControlsAndCensus(Workbench& bench, const std::vector<Target>& targets) {
  std::vector<Case> cases = ControlCases(bench, targets), census = CensusCases(targets);
  std::move(census.begin(), census.end(), std::back_inserter(cases));
  return cases;
}

std::string NoGoldens(Workbench&, const Target&) { return "no recorded answers"; }

std::string NoDeclaration(Workbench& bench, const Target& target) {
  if (bench.provider().Describe().protocol == 0) return "";
  return IsLarge(bench.Spec(target)) ? "too large for the host's reference" : "no reference bounds it";
}

std::string NoRing(Workbench& bench, const Target& target) {
  const int window = SmallestWindow(bench.Spec(target));
  return window == 0 ? "no window" : fmt::format("a window of {} is too long for a test to wrap", window);
}

std::string NoExperts(Workbench& bench, const Target& target) {
  return HasExperts(bench.Spec(target)) ? "routing is judged in 16-bit modes" : "no experts";
}

std::string NoSmallModel(Workbench&, const Target&) { return "too large for the host's reference"; }

std::string NoLargeDevice(Workbench&, const Target& target) {
  return target.device.on_host() ? "the suite asks for a device" : "small enough for the other suites";
}

std::string NoDeviceReference(Workbench& bench, const Target& target) {
  return IsLarge(bench.Spec(target)) ? "too large for the host's reference" : "the suite asks for a device";
}

constexpr SuiteEntry kSuites[] = {
    // First what names a fault most closely.
    {"Controls", "the rules of judging on what they must call wrong; whether all cases are there", ControlsAndCensus},
    {"Loader", "settings of config.json and GGUF against transformers; every key against the field that it changes",
     LoaderCases},
    {"Ops", "every op against its formula in float64, within steps and at the edges of its range", OpsCases},
    {"Golden", "reference and system against recorded logits, hidden states, greedy text and answers", GoldenCases,
     NoGoldens},
    {"Declaration", "the arithmetic that a system of another process declares against its measured error",
     ForEachTarget<DeclarationCases>, NoDeclaration},
    {"Prefill", "whole, chunked, packed and tail-skipped prefill against the reference and each other",
     ForEachTarget<PrefillCases>},
    {"Decode", "one token at a time against prefill; recorded steps against single steps", ForEachTarget<DecodeCases>},
    {"BatchedDecode", "N ragged sessions for 16 steps against the reference and one user alone",
     ForEachTarget<BatchedDecodeCases>},
    {"CacheAliasing", "donors, writers, poisoned unused places, neighbours untouched",
     ForEachTarget<CacheAliasingCases>},
    {"RingWrap", "lengths around the window and the ring", ForEachTarget<RingWrapCases>, NoRing},
    {"Schedule", "sessions that join, leave, fork and go back", ForEachTarget<ScheduleCases>},
    {"Geometries", "random schedules on made-up geometries: every mechanism, windows behind full layers",
     GeometryCases},
    {"Invariance", "relations without tolerance: permutation, filler, duplicates, window locality",
     ForEachTarget<InvarianceCases>},
    {"KnownAnswers", "recorded text whose answers follow from earlier text, in batches",
     ForEachTarget<KnownAnswerCases>, NoGoldens},
    {"Experts", "routing in 16-bit modes within the router's error, logits under the engine's own choices",
     ForEachTarget<ExpertsCases>, NoExperts},
    {"CudaReference", "the single-user CUDA reference and its twins against the host's",
     ForEachTarget<CudaReferenceCases>, NoDeviceReference},
    {"Failure", "steps that fail half-way, allocations that are refused", ForEachTarget<FailureCases>},
    {"Shapes", "the very steps that benchmarks time, long contexts among them", ForEachTarget<ShapeCases>,
     NoSmallModel},
    {"RealGeometry", "large models on a device: windows passed, rings wrapped, up to 64 sessions",
     ForEachTarget<RealGeometryCases>, NoLargeDevice},
};

std::vector<std::string> KnownModels() {
  std::vector<std::string> names;
  for (const EmbeddedModel& model : EmbeddedModels()) names.push_back(model.name);
  for (const std::string& preset : PresetNames()) names.push_back(preset);
  return names;
}

std::vector<std::string> SuiteNames() {
  std::vector<std::string> names;
  for (const SuiteEntry& suite : kSuites) names.emplace_back(suite.name);
  return names;
}

// A path rather than a name that is spelt wrong: what exists, or looks like nothing else.
bool LooksLikePath(const std::string& name) {
  if (name.find_first_of("*?[") != std::string::npos) return false;
  if (name.starts_with("hf-tiny/") || name.starts_with("gguf-tiny/")) return false;
  return name.find('/') != std::string::npos || name.starts_with('.') || name.starts_with('~') ||
         name.ends_with(".gguf");
}

// The parts between commas; a path that has commas of its own and exists stays whole.
std::vector<std::string> SplitModels(const std::vector<std::string>& lists) {
  std::vector<std::string> names;
  std::error_code error;
  for (const std::string& list : lists) {
    if (std::filesystem::exists(list.substr(0, list.rfind('@')), error) || std::filesystem::exists(list, error)) {
      names.push_back(list);
      continue;
    }
    for (std::size_t at = 0; at <= list.size();) {
      const std::size_t comma = std::min(list.find(',', at), list.size());
      names.push_back(list.substr(at, comma - at));
      at = comma + 1;
    }
  }
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

std::vector<Case> ListCases(Workbench& bench, const SuiteInputs& inputs, const std::vector<std::string>& named) {
  const std::vector<std::string> suites = MatchNames("suite", named, SuiteNames());
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

std::vector<Case> ListCasesOfModel(Workbench& bench, SuiteInputs inputs, const std::string& model) {
  inputs.models = {model};
  std::vector<Case> cases = ListCases(bench, inputs);
  if (model != kAnyModel) std::erase_if(cases, [&](const Case& item) { return item.axes.Text("model") != model; });
  return cases;
}

std::vector<std::string> EmptySuites(Workbench& bench, const SuiteInputs& inputs,
                                     const std::vector<std::string>& named) {
  constexpr std::size_t kMostNamed = 5;
  std::vector<std::string> notes;
  const std::vector<std::string> suites = MatchNames("suite", named, SuiteNames());
  for (const SuiteEntry& suite : Suites()) {
    if (std::find(suites.begin(), suites.end(), suite.name) == suites.end()) continue;
    std::map<std::string, std::vector<std::string>> models;  // by reason
    for (const Target& target : TargetsOf(bench, inputs)) {
      if (target.seed != inputs.seed || !suite.cases(bench, {target}).empty()) continue;
      const std::string model = target.axes().Text("model");
      const std::string why = suite.why_none == nullptr ? "the suite lists none" : suite.why_none(bench, target);
      if (why.empty()) continue;
      std::vector<std::string>& same = models[why];
      if (std::find(same.begin(), same.end(), model) == same.end()) same.push_back(model);
    }
    for (auto& [why, names] : models) {
      const std::size_t more = names.size() - std::min(names.size(), kMostNamed);
      names.resize(names.size() - more);
      notes.push_back(fmt::format("{}: 0 cases for {}{}: {}", suite.name, Joined(names),
                                  more > 0 ? fmt::format(" and {} more", more) : "", why));
    }
  }
  return notes;
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
  for (const std::string& pattern : SplitModels(patterns)) {
    const QuantisedName wanted = SplitQuantisedName(pattern);
    std::vector<std::string> found;
    for (const std::string& name : known) {
      if (name == wanted.base || ::fnmatch(wanted.base.c_str(), name.c_str(), 0) == 0)
        found.push_back(name + wanted.suffix);
    }
    std::error_code error;
    // Made-up geometries, random-N, are too many to be listed.
    if (found.empty() && (IsPreset(wanted.base) || std::filesystem::exists(wanted.base, error)))
      found.push_back(pattern);
    Require(!found.empty() || !LooksLikePath(wanted.base), "model '{}': there is no such file or folder", pattern);
    Require<NoSuchModel>(!found.empty(),
                         "model '{}' matches nothing{}: expected a checkpoint folder, a .gguf file or one of {}",
                         pattern, DidYouMean(wanted.base, known), Joined(known));
    for (const std::string& name : found) {
      if (std::find(models.begin(), models.end(), name) == models.end()) models.push_back(name);
    }
  }
  return models;
}

}  // namespace assay

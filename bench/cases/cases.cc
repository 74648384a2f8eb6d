#include "bench/cases/cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

#include "suites/parity/shapes.h"

namespace assay {
namespace {

using TimeFunction = std::vector<TimedRow> (*)(const BenchCase&, BenchState&);

BenchCase MakeBench(const char* name, const Target& target, std::vector<Axes::Axis> own, TimeFunction time,
                    std::function<Case(Workbench&)> covering) {
  BenchCase item;
  item.name = name;
  item.axes = target.axes();
  for (auto& [axis, value] : own) item.axes.Set(axis, value);
  item.target = target;
  item.time = time;
  item.covering = [target, covering = std::move(covering)](Workbench& bench) {
    // Of large models on the host there is no reference, and comparing the engine with itself would be all.
    if (target.device.on_host() && IsLarge(bench.Spec(target))) return std::vector<Case>();
    // Experts in 16-bit modes are not held against the reference by shape; their routing is.
    std::vector<Case> cases = ExpertsCases(bench, target);
    cases.push_back(covering(bench));
    return cases;
  };
  return item;
}

// One case for every number of sessions and every context.
template <TimeFunction kTime>
std::vector<BenchCase> OverSessions(const char* name, const Target& target, const BenchInputs& inputs) {
  std::vector<BenchCase> cases;
  for (const int context : inputs.contexts)
    for (const int n : inputs.sessions) {
      const DecodeShape shape{n, context};
      cases.push_back(MakeBench(name, target, shape.axes(), kTime,
                                [=](Workbench& bench) { return DecodeShapeCase(bench, target, shape); }));
    }
  return cases;
}

std::vector<BenchCase> DecodeBenchmarks(const Target& target, const BenchInputs& inputs) {
  return OverSessions<TimeDecode>("decode", target, inputs);
}

std::vector<BenchCase> OpsBenchmarks(const Target& target, const BenchInputs& inputs) {
  return OverSessions<TimeOps>("ops", target, inputs);
}

std::vector<BenchCase> AblationBenchmarks(const Target& target, const BenchInputs& inputs) {
  return OverSessions<TimeAblation>("ablation", target, inputs);
}

std::vector<BenchCase> PrefillBenchmarks(const Target& target, const BenchInputs& inputs) {
  std::vector<BenchCase> cases;
  for (const PrefillShape& shape : inputs.prompts)
    cases.push_back(MakeBench("prefill", target, shape.axes(), TimePrefill,
                              [=](Workbench& bench) { return PrefillShapeCase(bench, target, shape); }));
  return cases;
}

std::vector<BenchCase> LoadBenchmarks(const Target& target, const BenchInputs&) {
  return {MakeBench("load", target, {}, TimeLoad, [=](Workbench& bench) {
    return PrefillShapeCase(bench, target, {1, 64});
  })};
}

constexpr std::int64_t kMostRows = 1 << 20;  // of a step

constexpr BenchEntry kBenchmarks[] = {
    {"decode", "steps of N sessions: one graph launch each, tokens fed back on the device", DecodeBenchmarks},
    {"prefill", "prompts in one step, logits of their last tokens", PrefillBenchmarks},
    {"load", "an engine from an opened store", LoadBenchmarks},
    {"ops", "the model's own products, attention and norms", OpsBenchmarks},
    {"ablation", "steps without one sort of calls each, which says what they cost", AblationBenchmarks},
};

int Positive(std::string_view text, const std::string& whole) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  Require(error == std::errc() && end == text.data() + text.size() && value >= 1,
          "prompt '{}': expected a number of tokens (2048) or prompts x tokens (32x64)", whole);
  return value;
}

}  // namespace

PrefillShape PrefillShapeFrom(const std::string& text) {
  const std::size_t times = text.find('x');
  const bool several = times != std::string::npos;
  PrefillShape shape;
  if (several) shape.prompts = Positive(std::string_view(text).substr(0, times), text);
  shape.tokens = Positive(std::string_view(text).substr(several ? times + 1 : 0), text);
  Require(std::int64_t{shape.prompts} * shape.tokens <= kMostRows, "prompt '{}': expected at most {} tokens in all",
          text, kMostRows);
  return shape;
}

std::span<const BenchEntry> Benchmarks() { return kBenchmarks; }

std::vector<BenchCase> ListBenchmarks(const Target& target, const BenchInputs& inputs,
                                      const std::vector<std::string>& what) {
  std::vector<std::string> known;
  for (const BenchEntry& entry : Benchmarks()) known.emplace_back(entry.name);
  for (const std::string& name : what)
    Require(std::find(known.begin(), known.end(), name) != known.end(), "benchmark '{}': expected one of {}", name,
            fmt::join(known, ", "));
  std::vector<BenchCase> cases;
  std::set<std::string> seen;
  for (const BenchEntry& entry : Benchmarks()) {
    if (std::find(what.begin(), what.end(), entry.name) == what.end()) continue;
    for (BenchCase& item : entry.cases(target, inputs))
      if (seen.insert(item.id()).second) cases.push_back(std::move(item));
  }
  return cases;
}

}  // namespace assay

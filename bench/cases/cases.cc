#include "bench/cases/cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

namespace assay {
namespace {

using Params = std::map<std::string, std::int64_t>;

BenchCase MakeBench(const char* what, const std::string& shape, const BenchSubject& subject, Params params,
                    std::vector<ReportBenchmark> (*time)(const BenchCase&, const BenchSetting&)) {
  BenchCase item{what, {}, fmt::format("{}/{}", what, shape), subject, std::move(params), time};
  if (subject.batch_invariant) {
    item.name += "_invariant";
    item.params["batch_invariant"] = 1;
  }
  return item;
}

// One case for every number of sessions and every context.
template <std::vector<ReportBenchmark> (*kTime)(const BenchCase&, const BenchSetting&)>
std::vector<BenchCase> OverSessions(const char* what, const BenchSubject& subject, const BenchInputs& inputs) {
  std::vector<BenchCase> cases;
  for (const int context : inputs.contexts)
    for (const int n : inputs.sessions)
      cases.push_back(
          MakeBench(what, fmt::format("n{}_ctx{}", n, context), subject, {{"n", n}, {"context", context}}, kTime));
  return cases;
}

std::vector<BenchCase> DecodeBenchmarks(const BenchSubject& subject, const BenchInputs& inputs) {
  return OverSessions<TimeDecode>("decode", subject, inputs);
}

std::vector<BenchCase> OpsBenchmarks(const BenchSubject& subject, const BenchInputs& inputs) {
  return OverSessions<TimeOps>("ops", subject, inputs);
}

std::vector<BenchCase> PrefillBenchmarks(const BenchSubject& subject, const BenchInputs& inputs) {
  std::vector<BenchCase> cases;
  for (const PromptShape& shape : inputs.prompts)
    cases.push_back(MakeBench("prefill", fmt::format("{}x{}", shape.prompts, shape.tokens), subject,
                              {{"n", shape.prompts}, {"tokens", shape.tokens}}, TimePrefill));
  return cases;
}

std::vector<BenchCase> LoadBenchmarks(const BenchSubject& subject, const BenchInputs&) {
  return {MakeBench("load", "engine", subject, {}, TimeLoad)};
}

constexpr std::int64_t kMostRows = 1 << 20;  // of a step

constexpr BenchEntry kBenchmarks[] = {
    {"decode", "steps of N sessions: one graph launch each, tokens fed back on the device", BenchPath::kDecode,
     DecodeBenchmarks},
    {"prefill", "prompts in one step, logits of their last tokens", BenchPath::kPrefill, PrefillBenchmarks},
    {"load", "an engine from an opened store", BenchPath::kPrefill, LoadBenchmarks},
    {"ops", "the model's own products, attention and norms", BenchPath::kDecode, OpsBenchmarks},
};

int Positive(std::string_view text, const std::string& whole) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  Require(error == std::errc() && end == text.data() + text.size() && value >= 1,
          "prompt '{}': expected a number of tokens (2048) or prompts x tokens (32x64)", whole);
  return value;
}

}  // namespace

PromptShape PromptShapeFrom(const std::string& text) {
  const std::size_t times = text.find('x');
  const bool several = times != std::string::npos;
  PromptShape shape;
  if (several) shape.prompts = Positive(std::string_view(text).substr(0, times), text);
  shape.tokens = Positive(std::string_view(text).substr(several ? times + 1 : 0), text);
  Require(std::int64_t{shape.prompts} * shape.tokens <= kMostRows, "prompt '{}': expected at most {} tokens in all",
          text, kMostRows);
  return shape;
}

std::span<const BenchEntry> Benchmarks() { return kBenchmarks; }

std::vector<BenchCase> ListBenchmarks(const BenchSubject& subject, const BenchInputs& inputs,
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
    for (BenchCase& item : entry.cases(subject, inputs)) {
      if (!seen.insert(item.name).second) continue;
      item.path = entry.path;
      cases.push_back(std::move(item));
    }
  }
  return cases;
}

}  // namespace assay

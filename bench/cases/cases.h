// The benchmarks: what `assay bench` knows. Adding one is a function and a row in the table of cases.cc.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bench/support/bench_case.h"
#include "suites/support/shapes.h"

namespace assay {

// "2048" or "32x64". Throws InputError.
PrefillShape PrefillShapeFrom(const std::string& text);

// What is to be covered: the product of the lists, as far as a benchmark looks at them.
struct BenchInputs {
  std::vector<int> sessions;  // decoded together
  std::vector<int> contexts;  // tokens in each session's cache when a step starts
  std::vector<PrefillShape> prompts;
};

struct BenchEntry {
  const char* name;
  const char* about;  // one line
  std::vector<BenchCase> (*cases)(const Target& target, const BenchInputs& inputs);
};
std::span<const BenchEntry> Benchmarks();

// Cases of the benchmarks named, in table order, each once. Throws InputError that lists the benchmarks when a name is
// unknown.
std::vector<BenchCase> ListBenchmarks(const Target& target, const BenchInputs& inputs,
                                      const std::vector<std::string>& what);

// Steps of N sessions, each one graph launch that feeds its own tokens back.
std::vector<TimedRow> TimeDecode(const BenchCase& item, BenchState& state);
// Prompts taken in one step, logits of their last tokens.
std::vector<TimedRow> TimePrefill(const BenchCase& item, BenchState& state);
// An engine from an opened store.
std::vector<TimedRow> TimeLoad(const BenchCase& item, BenchState& state);
// The model's own products, attention and norms, a row each.
std::vector<TimedRow> TimeOps(const BenchCase& item, BenchState& state);
// The recorded step of TimeDecode whole, without overlap, and without each sort of its calls: the axis `without` says
// which, kNothingOmitted first. Such rows but that one have no floor.
std::vector<TimedRow> TimeAblation(const BenchCase& item, BenchState& state);
inline constexpr char kNothingOmitted[] = "nothing";

}  // namespace assay

// The benchmarks: what `assay bench` knows. Adding one is a function and a row in the table of cases.cc.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "bench/support/bench_case.h"

namespace assay {

// So many prompts of so many tokens in one step.
struct PromptShape {
  int prompts = 1;
  int tokens = 0;
};
// "2048" or "32x64". Throws InputError.
PromptShape PromptShapeFrom(const std::string& text);

// What is to be covered: the product of the lists, as far as a benchmark looks at them.
struct BenchInputs {
  std::vector<int> sessions;  // decoded together
  std::vector<int> contexts;  // tokens in each session's cache when a step starts
  std::vector<PromptShape> prompts;
};

struct BenchEntry {
  const char* name;
  const char* about;  // one line
  BenchPath path;
  std::vector<BenchCase> (*cases)(const BenchSubject& subject, const BenchInputs& inputs);
};
std::span<const BenchEntry> Benchmarks();

// Cases of the benchmarks named, in table order, each once. Throws InputError that lists the benchmarks when a name is
// unknown.
std::vector<BenchCase> ListBenchmarks(const BenchSubject& subject, const BenchInputs& inputs,
                                      const std::vector<std::string>& what);

// Steps of N sessions, each one graph launch that feeds its own tokens back.
std::vector<ReportBenchmark> TimeDecode(const BenchCase& item, const BenchSetting& setting);
// Prompts taken in one step, logits of their last tokens.
std::vector<ReportBenchmark> TimePrefill(const BenchCase& item, const BenchSetting& setting);
// An engine from an opened store.
std::vector<ReportBenchmark> TimeLoad(const BenchCase& item, const BenchSetting& setting);
// The model's own products, attention and norms, a row each.
std::vector<ReportBenchmark> TimeOps(const BenchCase& item, const BenchSetting& setting);

}  // namespace assay

// What is asked to be judged: a model, on a device, in a mode. Suites, benchmarks and recorded traces all take it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/device.h"
#include "engine/model/spec.h"
#include "engine/ops/ops.h"
#include "reports/format/axes.h"

namespace assay {

using Tokens = std::vector<std::int32_t>;

struct Target {
  std::string model;  // path, preset or embedded name, with @q8_0 or @q4_0 behind it or not
  Device device{};
  Precision precision = Precision::kFp32;
  std::uint64_t seed = 0;        // of made-up tokens and synthetic weights
  bool batch_invariant = false;  // the mode with one arithmetic for every batch and every cut of a text
  std::string label{};           // the model axis; empty: ModelLabel(model)
  bool seed_is_axis = false;     // where several seeds are judged side by side

  bool loose = false;  // SystemProvider::Loose

  // One arithmetic for every batch shape: equality is bit for bit.
  bool exact() const { return device.on_host() && !loose; }
  // model, dtype, device and, where they tell targets apart, mode=batch-invariant and the seed.
  Axes axes() const;
};

// For cases that make what they judge themselves and need a target all the same: one of a small model in fp32 for each
// device among `targets`.
inline constexpr const char* kAnyModel = "tiny-llama";
std::vector<Target> OncePerDevice(const std::vector<Target>& targets);

// An embedded name or a preset stays; of a path the last part is enough. Never a path of this machine.
std::string ModelLabel(const std::string& model);

// Geometry to aim at: the smallest window of the model (0 = none).
int SmallestWindow(const ModelSpec& spec);
// A window to shape prompts by, from `low` to `high`, whatever the model has.
int WindowWithin(const ModelSpec& spec, int low, int high);

std::int64_t WeightCount(const ModelSpec& spec);
// Up to so many weights the host reference takes well below a second for a token on a few cores.
inline constexpr std::int64_t kMostHostWeights = 100'000'000;
inline bool IsLarge(const ModelSpec& spec) { return WeightCount(spec) > kMostHostWeights; }
bool HasExperts(const ModelSpec& spec);

}  // namespace assay

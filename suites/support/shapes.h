// Shapes of steps that benchmarks time and that parity must have covered before: engine sizes follow from the shape
// alone, so that both run the same recorded step, the same chunks of attention and the same kernels.
#pragma once

#include <algorithm>

#include "engine/runtime/engine.h"
#include "reports/format/axes.h"

namespace assay {

// Steps of `sessions` sessions, each with `context` tokens in its cache when the first one starts.
struct DecodeShape {
  int sessions = 1, context = 0;

  // Recorded steps of a series: a lead that no time is taken of, then those that are timed. Few enough that the context
  // hardly grows, many enough that a device does not wait for its host.
  static constexpr int kLead = 1, kTimed = 32, kSteps = kLead + kTimed;
  EngineOptions options() const {
    constexpr int kChunk = 512;  // of a prompt; also how far a ring can go back: more than a series
    EngineOptions options;
    options.max_sessions = sessions;
    options.capacity = context + kSteps;
    options.max_chunk = std::min(options.capacity, kChunk);
    options.max_rows = kChunk;
    return options;
  }
  std::vector<Axes::Axis> axes() const { return {{"n", sessions}, {"context", context}}; }
};

// So many prompts of so many tokens in one step, from empty caches, logits of their last tokens.
struct PrefillShape {
  int prompts = 1, tokens = 0;

  EngineOptions options() const {
    EngineOptions options;
    options.max_sessions = prompts;
    options.capacity = options.max_chunk = tokens;
    options.max_rows = prompts * tokens;
    return options;
  }
  std::vector<Axes::Axis> axes() const { return {{"prompts", prompts}, {"tokens", tokens}}; }
};

}  // namespace assay

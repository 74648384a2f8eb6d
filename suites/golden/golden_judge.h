// Judges any decoder against a recorded trace. Reference, twin and engine come here alike, as functions from tokens to
// logits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oracles/compare/tolerance.h"
#include "oracles/golden/trace.h"
#include "suites/support/checker.h"

namespace assay {

// Feed `tokens` to a fresh context and return logits.
struct GoldenRequest {
  std::span<const std::int32_t> tokens;
  int first_row = 0;  // logits are wanted for positions first_row .. tokens.size() - 1
  bool hidden = false;
};

struct GoldenAnswer {
  std::vector<double> capped;  // [rows, vocab] final logits, after any softcap
  std::vector<double>
      hidden;  // [layers + 1, T, hidden] as recorded traces order them; empty when not asked or not available
};

// What answers a trace: the system under test, or a reference. All requests come at once, so that a batched system can
// serve them together.
class GoldenAnswerer {
 public:
  virtual ~GoldenAnswerer() = default;
  virtual std::string name() const = 0;             // "float64 reference"
  virtual bool has_hidden() const { return true; }  // when it is asked for
  virtual std::vector<GoldenAnswer> Answer(std::span<const GoldenRequest> requests) = 0;
  // The greedy continuation of a prompt, run freely. Nothing: the argmax of the teacher-forced rows is judged, which is
  // the same text as long as it is right.
  virtual std::optional<std::vector<std::int32_t>> Greedy(std::span<const std::int32_t> prompt, int steps) {
    static_cast<void>(prompt), static_cast<void>(steps);
    return std::nullopt;
  }
};

struct GoldenTolerance {
  LogitTolerance logits;
  Bound hidden;  // relative to the largest value of a layer's output at a position
  // The stated figures for float32 arithmetic: logits 2e-4, argmax beyond a gap of 1e-3, hidden states 1e-4 relative.
  // Where `twin` (the model's fp32 twin) says that float32 arithmetic alone is further from exact, its figure: traces
  // are recorded in float32 themselves. No embedded model needs that: their twins' figures are 1e-4 and less. Random
  // weights with steep attention may: on such a checkpoint of ten layers, records of transformers were 3.2e-4 from the
  // float64 reference, and transformers itself, run in float64, 3.3e-4 from its record and 8e-6 from the reference.
  static GoldenTolerance Fp32(const LogitTolerance* twin = nullptr);
  // Errors grow with width and depth: at real geometries logits 5e-3, argmax beyond 2.5e-2.
  static GoldenTolerance Fp32Large();
};

// Adds to `check` the metrics of LogitJudge over every recorded row (those of greedy rows prefixed "greedy_"), plus
// "hidden_relative", "greedy_text" and, where a trace says what earlier text determines, "answers". Throws InputError
// when the answers do not fit.
void JudgeGolden(const GoldenTrace& trace, GoldenAnswerer& answerer, const GoldenTolerance& tolerance, Checker& check);

}  // namespace assay

// What a parity case works on: a model on a device in a mode, with the engine, the reference and the tolerance that belong to
// it. Stores, references and calibrations are kept for the process: cases share them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "engine/runtime/engine.h"
#include "engine/weights/store.h"
#include "oracles/compare/tolerance.h"
#include "oracles/reference/decoder.h"

namespace assay {

using Tokens = std::vector<std::int32_t>;

struct Subject {
  std::string model;   // path, preset or embedded name
  std::string device;  // "host" or "cuda"
  Precision precision = Precision::kFp32;
  std::uint64_t seed = 0;
  bool exact() const { return device == "host"; }  // one arithmetic for every batch shape: equality is bit for bit
  std::string label() const;                       // "gemma4_nano_fp32": for case names
};

// The model's weights; opened once. Embedded names resolve to fixtures.
const WeightStore& StoreOf(const Subject& subject);

// An engine over fresh ops of the subject's device and mode.
class Stage {
 public:
  Stage(const Subject& subject, const EngineOptions& options);
  Engine& engine() { return *engine_; }
  Ops& ops() { return *ops_; }
  // A new session that holds `tokens`.
  SessionId Opened(std::span<const std::int32_t> tokens);

 private:
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Engine> engine_;
};

// Tokens of a made-up session: a function of (seed, stream, index).
Tokens MadeUpTokens(const Subject& subject, int stream, int length);

// The float64 reference's logits after each of `tokens`, computed once for each prefix.
const std::vector<ReferenceStep>& ReferenceRows(const Subject& subject, const Tokens& tokens);

// Tolerance of the subject's mode: the twin of the mode against the reference over a calibration set of made-up sessions.
const LogitTolerance& ToleranceOf(const Subject& subject);

// Whether the reference's logits bound this subject's: not for experts in a 16-bit mode, where rounding alone changes which
// experts a row is sent to and the error of one row is then as large as the logits. Such subjects are held to equality between
// batched and alone, and to the reference in fp32.
bool ReferenceBounds(const Subject& subject);

// Geometry to aim at: the smallest window of the model (0 = none).
int SmallestWindow(const ModelSpec& spec);

}  // namespace assay

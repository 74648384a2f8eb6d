// What a parity case works on: a model on a device in a mode, its weights and engines over it. Stores are kept for the
// process: cases share them. What is right for a subject is in references.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops/ops.h"
#include "engine/runtime/engine.h"
#include "engine/weights/store.h"

namespace assay {

using Tokens = std::vector<std::int32_t>;

struct Subject {
  std::string model;   // path, preset or embedded name
  std::string device;  // "host" or "cuda"
  Precision precision = Precision::kFp32;
  std::uint64_t seed = 0;
  bool batch_invariant = false;                    // the mode in which a row's arithmetic is the same in every batch
  bool exact() const { return device == "host"; }  // one arithmetic for every batch shape: equality is bit for bit
  std::string label() const;                       // "gemma4_nano_fp32": for case names
};

// The model's weights; opened once. Embedded names resolve to fixtures.
const WeightStore& StoreOf(const Subject& subject);

std::unique_ptr<Ops> MakeOpsOf(const Subject& subject);

// An engine over fresh ops of the subject's device and mode, or over `ops`, which must outlive it.
class Stage {
 public:
  Stage(const Subject& subject, const EngineOptions& options);
  Stage(const Subject& subject, const EngineOptions& options, Ops& ops);
  Engine& engine() { return *engine_; }
  Ops& ops() { return ops_; }
  // A new session that holds `tokens`.
  SessionId Opened(std::span<const std::int32_t> tokens);

 private:
  std::unique_ptr<Ops> own_;
  Ops& ops_;
  std::unique_ptr<Engine> engine_;
};

// Tokens of a made-up session: a function of (seed, stream, index).
Tokens MadeUpTokens(const Subject& subject, int stream, int length);

// Geometry to aim at: the smallest window of the model (0 = none).
int SmallestWindow(const ModelSpec& spec);

}  // namespace assay

// The system under test: whatever can be asked these questions can be judged by every suite that asks no others. The
// engine of this tree is one implementation (engine_system.h).
//
// A system belongs to one thread. Bad requests throw InputError, a lost device DeviceError; a call that throws leaves
// every session's length where it was.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/runtime/engine.h"
#include "engine/weights/store.h"
#include "oracles/reference/decoder.h"
#include "reports/format/environment.h"
#include "suites/support/target.h"

namespace assay {

// What a suite may need of a system beyond opening, closing and stepping one session.
enum class Capability {
  kChunk,      // a prompt in several pieces, and steps behind it
  kBatch,      // several sessions in one step
  kMixed,      // prompts and single tokens in one step
  kFork,       // an independent copy of a session
  kTruncate,   // going back
  kDecode,     // greedy text by the system itself
  kLogits,     // logits of every vocabulary entry, after any softcap
  kRawLogits,  // before it; without them StepResult::raw repeats the capped ones
  kInternals,  // cache bytes, memory and the op seam: the engine of this tree
};
const char* Name(Capability capability);  // "batch", "mixed steps", ...

// Every capability is there unless it is named here, with the reason.
class Capabilities {
 public:
  void Lacks(Capability capability, std::string reason) { missing_[capability] = std::move(reason); }
  Support Has(Capability capability) const;
  // Of all of `needs`; the reason names the first that is missing.
  Support HasAll(std::span<const Capability> needs) const;

 private:
  std::map<Capability, std::string> missing_;
};

// What a system cannot do with a model, in a mode or at a size: a case is skipped with the reason.
class Unsupported : public Error {
 public:
  using Error::Error;
};

class EngineSystem;

class SystemUnderTest {
 public:
  virtual ~SystemUnderTest() = default;

  virtual const EngineOptions& limits() const = 0;  // sessions, capacity, chunk and rows of a step
  virtual int vocab() const = 0;

  virtual SessionId Open() = 0;  // an empty session
  virtual void Close(SessionId session) = 0;
  virtual SessionId Fork(SessionId session) = 0;  // kFork
  virtual Support CanTruncate(SessionId session, int length) const = 0;
  virtual void Truncate(SessionId session, int length) = 0;  // kTruncate
  virtual int Length(SessionId session) const = 0;
  // Appends every feed's tokens in one batch and returns the wanted logits: Engine::Step.
  virtual StepResult Step(std::span<const Feed> feeds) = 0;
  // Greedy text, lowest index on ties; kDecode: Engine::Decode.
  virtual std::vector<Tokens> Decode(std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                                     int steps) = 0;
  // The same with the time of each step by the system's own clock; empty: it has none.
  struct TimedText {
    std::vector<Tokens> texts;
    std::vector<double> seconds;  // [steps]
  };
  virtual TimedText DecodeTimed(std::span<const SessionId> sessions, std::span<const std::int32_t> first, int steps) {
    return {Decode(sessions, first, steps), {}};
  }
  // A step with its time by the system's own clock.
  struct TimedRows {
    StepResult result;
    double seconds = 0;
  };
  virtual TimedRows StepTimed(std::span<const Feed> feeds);
  // Feeds `tokens` in chunks of at most `chunk` (0: limits().max_chunk).
  virtual StepResult Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want = Want::kLast,
                             int chunk = 0);
  // The inside of the engine of this tree; null for any other system.
  virtual EngineSystem* engine() { return nullptr; }

  StepResult Step(const Feed& feed) { return Step(std::span(&feed, 1)); }
  // A new session that holds `tokens`.
  SessionId OpenWith(std::span<const std::int32_t> tokens);
};

// Makes systems of one kind.
class SystemProvider {
 public:
  virtual ~SystemProvider() = default;
  virtual SystemInfo Describe() const = 0;
  virtual Capabilities CapabilitiesOf(const Target& target) const = 0;
  // Whether rows may differ, within the tolerance, between batches and pieces that the engine of this tree computes
  // alike bit for bit.
  virtual bool Loose() const { return false; }
  // What is rounded, as the system declares it. Throws Unsupported and what Open throws.
  virtual TwinArithmetic ArithmeticOf(const WeightStore&, const Target& target) { return target.precision; }
  // Throws OutOfMemory, InputError, DeviceError, Unsupported. `store` must outlive the system.
  virtual std::unique_ptr<SystemUnderTest> Open(const WeightStore& store, const Target& target,
                                                const EngineOptions& options) = 0;
};

}  // namespace assay

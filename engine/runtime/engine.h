// The batched engine: sessions with their own caches, fed together in ragged steps.
//
// An Engine belongs to one thread. A call that throws leaves every session's length where it was; healthy() says
// whether later calls can succeed (a lost device cannot).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/model/kv_plan.h"
#include "engine/ops/ops.h"
#include "engine/weights/store.h"

namespace assay {

struct MemoryPlan;

struct EngineOptions {
  int max_sessions = 8;
  int capacity = 1024;    // positions per session
  int max_chunk = 256;    // most rows of one session in a step
  int max_rows = 512;     // most rows of a step
  bool skip_tail = true;  // run layers behind the last cache writer only for rows whose logits are wanted
};

// Handle of a session; invalid after Close.
struct SessionId {
  int index = -1;
  std::uint32_t generation = 0;
  friend bool operator==(SessionId, SessionId) = default;
};

enum class Want { kNone, kLast, kAll };  // rows of a feed whose logits come back

// Tokens to append to one session in a step.
struct Feed {
  SessionId session;
  std::span<const std::int32_t> tokens;
  Want want = Want::kLast;
};

// What comes back of the wanted rows beside the argmax.
struct StepOutputs {
  bool raw = true, capped = true;
  // Says, step by step (a chunk is one), where so many logits go, which the result then does not have: capped ones,
  // [rows, vocab], raw ones behind them; those asked for, once where there is no softcap. Null: into the result.
  std::function<float*(std::size_t count)> place{};
};

// Logits of the wanted rows, in feed order then row order.
struct StepResult {
  int vocab = 0;
  std::vector<int> feed;           // [rows] index of the feed
  std::vector<int> position;       // [rows] absolute position of the row's token
  std::vector<std::int32_t> best;  // [rows] argmax of the capped logits, lowest index on ties
  std::vector<float> raw;          // [rows, vocab] before the softcap; empty when not asked for
  std::vector<float> capped;       // [rows, vocab] after it (equal to raw without one); empty when not asked for
  int rows() const { return static_cast<int>(best.size()); }
  // The rows of a later step of the same feeds, behind these.
  void Append(const StepResult& later);
  std::span<const float> Raw(int row) const { return std::span(raw).subspan(std::int64_t{row} * vocab, vocab); }
  std::span<const float> Capped(int row) const { return std::span(capped).subspan(std::int64_t{row} * vocab, vocab); }
};

class Engine {
 public:
  // Uploads every weight. `ops` must outlive the engine. Throws InputError for weights that do not fit the spec,
  // OutOfMemory with what was needed and free.
  Engine(const WeightStore& store, Ops& ops, const EngineOptions& options);
  ~Engine();
  // One that has taken what an engine will take, steps included, of ops that count (Ops::Planning). Of the store it
  // reads the listing only. For plans.
  static Engine Counted(const WeightStore& store, Ops& planning, const EngineOptions& options);
  Engine(Engine&&) noexcept;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const ModelSpec& spec() const;
  const KvPlan& kv_plan() const;
  const EngineOptions& options() const;
  bool healthy() const;
  std::size_t weight_bytes() const;  // resident on the device
  // What this engine has taken; `recorded` is a bound, and `workspace` what its ops have taken for all who use them.
  MemoryPlan Taken() const;
  // Notes on how weights are kept, one line per conversion: "Q4_K kept as BF16: 112 tensors".
  std::vector<std::string> notes() const;

  SessionId Open();                   // empty session; throws InputError when max_sessions are open
  void Close(SessionId session);      // its index is free again, its id invalid
  SessionId Fork(SessionId session);  // an independent copy with the same tokens
  // Forgets all tokens from `length` on. See CanTruncate.
  void Truncate(SessionId session, int length);
  int Length(SessionId session) const;  // tokens fed
  int open_sessions() const;

  Support CanOpen() const;
  Support CanStep(std::span<const Feed> feeds) const;
  // A ring keeps window + max_chunk - 1 positions, so a sliding session can go back at most max_chunk tokens behind the
  // longest it has been.
  Support CanTruncate(SessionId session, int length) const;

  // Appends every feed's tokens in one batch and returns the wanted logits. Feeds may mix decode rows and chunks; a
  // session may appear once; a feed holds 1..max_chunk tokens. A device is waited for once or twice for each 32
  // rows of logits (the largest recorded batch, where that is more) and each 32 MiB of them.
  StepResult Step(std::span<const Feed> feeds, const StepOutputs& outputs = {});

  // Feeds `tokens` in chunks of at most `chunk` (0: as large as a step may be). Logits as `want` says. If it throws,
  // the length is as before.
  StepResult Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want = Want::kLast, int chunk = 0,
                     const StepOutputs& outputs = {});

  // Greedy decode on the device: feeds `first[i]` to sessions[i], then `steps` - 1 times the argmax. Returns the
  // `steps` argmax tokens of each session: [session][step]. One recorded step is replayed without a host decision in
  // between. The first call for a number of sessions records its steps (Record).
  std::vector<std::vector<std::int32_t>> Decode(std::span<const SessionId> sessions,
                                                std::span<const std::int32_t> first, int steps);

  // Records the steps that Decode of `sessions` sessions replays, for every context up to the capacity, so that no
  // later call has to. Steps that were recorded stay. One for which the device has no memory left is not replayed but
  // computed call by call, to the same bits, until a later Record finds room. Throws InputError above the largest
  // batch.
  void Record(int sessions);

  // Raw bytes of a session's keys and values in the cache layer `layer` reads, for probes: [kv_head][slot][head_dim].
  struct CacheBytes {
    int writer;  // layer that owns the cache
    void* keys;  // device memory
    void* values;
    std::size_t bytes;  // of the keys, and of the values
  };
  CacheBytes Cache(SessionId session, int layer) const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace assay

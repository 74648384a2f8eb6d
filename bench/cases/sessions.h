// Made-up sessions for timings, and what their logits must be like.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/support/bench_case.h"
#include "engine/runtime/engine.h"

namespace assay {

// Tokens of a session: a function of (seed, session). No two sessions are alike, so that experts are chosen as in real
// batches.
Tokens MadeUpText(BenchState& state, int session, int length);

// Throws InputError for more sessions than a step takes, OutOfMemory for more than a host has memory: an engine does
// not ask there, because a host can page.
void RequireRoom(BenchState& state, const EngineOptions& options);

// Throws WrongResult unless the logits are finite and not all the same.
void RequireLogits(std::span<const float> logits, std::string_view where);

// A system's own clock beside the host's, over all that was timed.
class OwnClock {
 public:
  // One time by both, in seconds. Throws WrongResult when its own says more than the host's by over 2 %.
  void Add(double own, double host);
  void Restart() { own_ = host_ = 0; }
  // Whose clock it is, what the host's had more, and what a row's floor stands for then.
  std::string Described(std::string_view system) const;

 private:
  double own_ = 0, host_ = 0;
};

// Throws WrongResult unless every token of `texts` is what a step that reads its logits back prefers, or within
// setting.tie of it. Feeds first[i], then texts[i], for `steps` steps, to the sessions as they stand.
void RequireGreedy(SystemUnderTest& system, std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                   const std::vector<Tokens>& texts, int steps, const BenchSetting& setting);

}  // namespace assay

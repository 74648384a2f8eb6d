#include "bench/cases/sessions.h"

#include <algorithm>
#include <cmath>

#include "engine/base/random.h"
#include "engine/ops/ops_factory.h"
#include "engine/runtime/batch.h"
#include "engine/runtime/memory_plan.h"
#include "reports/environment/host.h"

namespace assay {

Tokens MadeUpText(BenchState& state, int session, int length) {
  return RandomTokens(state.target.seed, session, length, state.bench.Spec(state.target).vocab);
}

void RequireRoom(BenchState& state, const EngineOptions& options) {
  DecodeBucket(options.max_sessions);
  if (!state.target.device.on_host()) return;  // an engine asks a device itself
  const std::unique_ptr<Ops> ops = MakePlanningOps(state.target.device, state.target.precision);
  const auto needed = static_cast<double>(PlanMemory(state.bench.Store(state.target), *ops, options).total());
  const auto memory = static_cast<double>(UsableMemory());
  if (memory > 0 && needed > memory)
    throw OutOfMemory(
        fmt::format("{}: {} sessions of {} positions need {:.2f} GB of host memory, there are {:.2f} GB",
                    state.target.model, options.max_sessions, options.capacity, 1e-9 * needed, 1e-9 * memory),
        static_cast<std::size_t>(needed), 0);
}

void RequireLogits(std::span<const float> logits, std::string_view where) {
  const auto broken = std::find_if(logits.begin(), logits.end(), [](float logit) { return !std::isfinite(logit); });
  Require<WrongResult>(broken == logits.end(), "{}: logit {} is not finite", where, broken - logits.begin());
  const auto [low, high] = std::minmax_element(logits.begin(), logits.end());
  Require<WrongResult>(*low < *high, "{}: all logits are {}", where, *low);
}

void OwnClock::Add(double own, double host) {
  constexpr double kApart = 0.02;
  Require<WrongResult>(own <= host * (1 + kApart),
                       "its own clock says {:.6f} s for steps that took {:.6f} s by the host's", own, host);
  own_ += own;
  host_ += host;
}

std::string OwnClock::Described(std::string_view system) const {
  return fmt::format(
      "by the clock of {}; the host's had {:.2f} % more, for requests and answers; the floor is that of weights and "
      "caches as the engine of this tree would keep them",
      system, 100 * (host_ / own_ - 1));
}

void RequireGreedy(SystemUnderTest& system, std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                   const std::vector<Tokens>& texts, int steps, const BenchSetting& setting) {
  const auto all_zero = [](const Tokens& text) {
    return std::all_of(text.begin(), text.end(), [](int t) { return t == 0; });
  };
  Require<WrongResult>(!std::all_of(texts.begin(), texts.end(), all_zero), "all decoded tokens are 0");
  Tokens next(first.begin(), first.end());
  for (int step = 0; step < steps; ++step) {
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < sessions.size(); ++i) feeds.push_back({sessions[i], std::span(&next[i], 1)});
    const StepResult result = system.Step(feeds);
    for (std::size_t i = 0; i < sessions.size(); ++i) {
      const std::string where = fmt::format("session {} of {} step {}", i, sessions.size(), step);
      const std::span<const float> logits = result.Capped(static_cast<int>(i));
      RequireLogits(logits, where);
      next[i] = texts[i][step];
      Require<WrongResult>(next[i] >= 0 && next[i] < result.vocab, "{}: token {} is outside the vocabulary", where,
                           next[i]);
      const double gap = static_cast<double>(logits[result.best[i]]) - static_cast<double>(logits[next[i]]);
      Require<WrongResult>(gap <= setting.tie,
                           "{}: the recorded step chose token {}, which lies {:.4g} below token {}; {:.4g} may be",
                           where, next[i], gap, result.best[i], setting.tie);
    }
  }
}

}  // namespace assay

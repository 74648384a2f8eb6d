#include "suites/parity/experts.h"
#include "suites/parity/streams.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "oracles/probes/routing_ops.h"
#include "oracles/reference/formulas.h"

namespace assay {
namespace {

constexpr int kExpertSessions = 8, kExpertSteps = 16;
constexpr int kWatched[] = {0, 4, kExpertSessions - 1};  // the first row of a step, one within and the last
constexpr int kCalibrated = 32;  // rows of a prompt's end that count for the twin's error, beside the rows judged

struct WatchedSession {
  Tokens tokens;
  int prompt = 0;
  std::vector<RoutingOps::Choices> choices;  // by position
  std::vector<StepResult> rows;              // a row each, of the steps after the prompt
};

// What the engine decided and computed for the watched sessions.
std::vector<WatchedSession> Decoded(CaseState& state) {
  const int window = SmallestWindow(state.spec());
  EngineOptions options;
  options.max_sessions = kExpertSessions;
  options.max_chunk = std::clamp(window / 4, 8, 128);
  options.skip_tail = false;  // routing of every row is wanted
  const auto length = [&](int i) { return i == 0 ? window + options.max_chunk + 4 : 1 + i * 37 % 97; };
  options.capacity = std::max(length(0), 97) + kExpertSteps;
  const std::unique_ptr<Ops> ops = state.bench.MakeOps(state.target);
  RoutingOps routing(*ops);
  const auto system = state.bench.OpenEngine(state.target, options, routing);
  std::vector<WatchedSession> sessions(kExpertSessions);
  std::vector<SessionId> ids;
  for (int i = 0; i < kExpertSessions; ++i) {
    WatchedSession& session = sessions[i];
    session.prompt = length(i);
    session.tokens = state.MadeUp(kExpertsStream + i, session.prompt + kExpertSteps);
    ids.push_back(system->OpenWith(Slice(session.tokens, 0, session.prompt)));
  }
  for (int step = 0; step < kExpertSteps; ++step) {
    std::vector<Feed> feeds;
    for (int i = 0; i < kExpertSessions; ++i)
      feeds.push_back({ids[i], Slice(sessions[i].tokens, sessions[i].prompt + step, 1)});
    const StepResult result = system->Step(feeds);
    for (const int i : kWatched) {
      StepResult row;
      row.vocab = result.vocab;
      row.raw.assign(result.Raw(i).begin(), result.Raw(i).end());
      row.capped.assign(result.Capped(i).begin(), result.Capped(i).end());
      sessions[i].rows.push_back(std::move(row));
    }
  }
  std::vector<WatchedSession> watched;
  for (const int i : kWatched) {
    watched.push_back(std::move(sessions[i]));
    for (int position = 0; position < std::ssize(watched.back().tokens); ++position)
      watched.back().choices.push_back(routing.ChoicesOf(ids[i].index, position));
  }
  return watched;
}

// Collects the engine's choices against the reference's router, and what a twin's router says at the same places.
class ChoiceJudge {
 public:
  // The reference's probabilities `p` and its own choice, which becomes the engine's.
  void Reference(std::span<const double> p, const std::vector<std::int32_t>& engine, std::vector<std::size_t>& chosen,
                 const Place& where) {
    Require(engine.size() == chosen.size(), "{}: expected {} experts, found {}", where.ToString(), chosen.size(),
            engine.size());
    decisions_.push_back({DecisionOf(p, engine, where), where});
    chosen.assign(engine.begin(), engine.end());
  }
  // Both programs' probabilities of the experts that could be chosen.
  void Twin(std::span<const double> p, std::span<const double> twin, std::size_t top_k) { errors_.Add(p, twin, top_k); }
  void Finish(Checker& check) const {
    const Bound allowed = errors_.Margin();
    const double sigma = errors_.Sigma();
    for (const auto& [decision, where] : decisions_) {
      Judgement judgement =
          Judged("routing_margin", decision.margin, allowed, where,
                 "an expert displaced one that the reference's router prefers by so much in log-probability",
                 Verdict::kTieFlip);
      judgement.soft_probability = FlipProbability(decision.gap, sigma);
      check.Add(judgement);
    }
  }

 private:
  std::vector<std::pair<RoutingDecision, Place>> decisions_;
  RoutingErrors errors_;
};

}  // namespace

void JudgeExperts(CaseState& state) {
  const std::vector<WatchedSession> sessions = Decoded(state);
  const Target& target = state.target;
  const std::unique_ptr<ReferenceDecoder> reference = state.references().MakeDecoder(target);
  const std::unique_ptr<ReferenceDecoder> twin =
      state.references().MakeDecoder(target, {.keep_hidden = false, .twin = target.precision});
  const auto with_experts =
      std::ranges::count_if(state.spec().layers, [](const LayerSpec& layer) { return layer.experts > 0; });
  const std::int64_t rows = std::ssize(kWatched) * kExpertSteps;
  state.check.AtLeast("routing_margin", rows * with_experts);
  state.check.AtLeast("max_abs_logit_raw", rows);
  ChoiceJudge routing;
  Calibrator calibrator;
  std::vector<std::vector<double>> expected;
  for (int i = 0; i < std::ssize(sessions); ++i) {
    const WatchedSession& session = sessions[i];
    std::map<int, std::vector<double>> exact;  // the reference's probabilities for the token at hand, by layer
    reference->SetRouting([&](int layer, std::span<const double> p, std::vector<std::size_t>& chosen) {
      const int position = reference->length();
      exact[layer].assign(p.begin(), p.end());
      routing.Reference(p, session.choices[position].at(layer), chosen,
                        {{"session", kWatched[i]}, {"position", position}, {"layer", layer}});
    });
    twin->SetRouting([&](int layer, std::span<const double> p, std::vector<std::size_t>& chosen) {
      routing.Twin(exact.at(layer), p, chosen.size());
      const std::vector<std::int32_t>& engine = session.choices[twin->length()].at(layer);
      chosen.assign(engine.begin(), engine.end());
    });
    reference->Truncate(0);
    twin->Truncate(0);
    for (int position = 0; position < std::ssize(session.tokens); ++position) {
      const std::int32_t token = session.tokens[position];
      if (position < session.prompt - kCalibrated) {
        reference->Skip(token);
        twin->Skip(token);
        continue;
      }
      std::vector<double> row = reference->Step(token).raw;
      calibrator.Add(row, twin->Step(token).raw);
      if (position >= session.prompt) expected.push_back(std::move(row));
    }
  }
  routing.Finish(state.check);
  LogitJudge judge(
      LogitTolerance::From(calibrator.Finish(fmt::format(
          "{} twin of {} under the engine's routing, the judged sessions", Name(target.precision), state.spec().name))),
      state.check.tally());
  for (int i = 0; i < std::ssize(sessions); ++i)
    for (int step = 0; step < std::ssize(sessions[i].rows); ++step) {
      const std::vector<double>& raw = expected[i * kExpertSteps + step];
      std::vector<double> capped = raw;
      for (double& logit : capped) logit = Softcap(logit, state.spec().softcap);
      const StepResult& found = sessions[i].rows[step];
      const std::vector<double> found_raw = Widen(found.raw), found_capped = Widen(found.capped);
      judge.Add({raw, found_raw, capped, found_capped}, {{"session", kWatched[i]}, {"step", step}});
    }
  judge.Finish();
  state.check.CountArgmax(judge.argmax_judged(), judge.rows());
}

std::vector<Case> ExpertsCases(Workbench& bench, const Target& target) {
  if (bench.references().Bounds(target)) return {};
  Case item = MakeCase("Experts", "DecideWithinTheError", target, {}, {Capability::kInternals}, JudgeExperts);
  item.may_not_fit = IsLarge(bench.Spec(target));
  item.tokens = 2000;
  return {item};
}

}  // namespace assay

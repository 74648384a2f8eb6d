#include "suites/parity/experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "oracles/probes/routing_ops.h"
#include "oracles/reference/formulas.h"

namespace assay {
namespace {

constexpr int kSessions = 8, kSteps = 16;
constexpr int kWatched[] = {0, 4, kSessions - 1};  // the first row of a step, one within and the last
constexpr int kCalibrated = 32;  // rows of a prompt's end that count for the twin's error, beside the rows judged
constexpr int kStream = 6000;

struct Watched {
  Tokens tokens;
  int prompt = 0;
  std::vector<RoutingOps::Choices> choices;  // by position
  std::vector<StepResult> rows;              // a row each, of the steps after the prompt
};

// What the engine decided and computed for the watched sessions.
std::vector<Watched> Decoded(const Subject& subject, Ops& ops) {
  const int window = SmallestWindow(StoreOf(subject).spec());
  EngineOptions options;
  options.max_sessions = kSessions;
  options.max_chunk = std::clamp(window / 4, 8, 128);
  options.skip_tail = false;  // routing of every row is wanted
  const auto length = [&](int i) { return i == 0 ? window + options.max_chunk + 4 : 1 + i * 37 % 97; };
  options.capacity = std::max(length(0), 97) + kSteps;
  RoutingOps routing(ops);
  Stage stage(subject, options, routing);
  std::vector<Watched> sessions(kSessions);
  std::vector<SessionId> ids;
  for (int i = 0; i < kSessions; ++i) {
    Watched& session = sessions[static_cast<std::size_t>(i)];
    session.prompt = length(i);
    session.tokens = MadeUpTokens(subject, kStream + i, session.prompt + kSteps);
    ids.push_back(stage.Opened(std::span(session.tokens).first(static_cast<std::size_t>(session.prompt))));
  }
  for (int step = 0; step < kSteps; ++step) {
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < sessions.size(); ++i)
      feeds.push_back(
          {ids[i], std::span(sessions[i].tokens).subspan(static_cast<std::size_t>(sessions[i].prompt + step), 1)});
    const StepResult result = stage.engine().Step(feeds);
    for (const int i : kWatched) {
      const auto raw = result.Raw(i), capped = result.Capped(i);
      StepResult row;
      row.vocab = result.vocab;
      row.raw.assign(raw.begin(), raw.end());
      row.capped.assign(capped.begin(), capped.end());
      sessions[static_cast<std::size_t>(i)].rows.push_back(std::move(row));
    }
  }
  std::vector<Watched> watched;
  for (const int i : kWatched) {
    watched.push_back(std::move(sessions[static_cast<std::size_t>(i)]));
    for (int position = 0; position < static_cast<int>(watched.back().tokens.size()); ++position)
      watched.back().choices.push_back(routing.ChoicesOf(ids[static_cast<std::size_t>(i)].index, position));
  }
  return watched;
}

// Collects the engine's choices against the reference's router, and what a twin's router says at the same places.
class RoutingJudge {
 public:
  // The reference's probabilities `p` and its own choice, which becomes the engine's.
  void Reference(std::span<const double> p, const std::vector<std::int32_t>& engine, std::vector<std::size_t>& chosen,
                 const std::string& where) {
    std::vector<bool> in(p.size());
    for (const std::int32_t expert : engine)
      if (expert >= 0 && expert < static_cast<int>(p.size())) in[static_cast<std::size_t>(expert)] = true;
    Require(engine.size() == chosen.size() &&
                std::count(in.begin(), in.end(), true) == static_cast<std::ptrdiff_t>(chosen.size()),
            "{}: expected {} different experts of {}, found [{}]", where, chosen.size(), p.size(),
            fmt::join(engine, " "));
    double left_out = 0, taken = 1;  // the best that the engine left out, the worst that it took
    for (std::size_t e = 0; e < p.size(); ++e) {
      if (in[e]) taken = std::min(taken, p[e]);
      if (!in[e]) left_out = std::max(left_out, p[e]);
    }
    const std::vector<int> best = TopK(p, static_cast<int>(chosen.size()) + 1);
    const double next = best.size() > chosen.size() ? p[static_cast<std::size_t>(best.back())] : 0;
    gaps_.push_back(std::log(p[chosen.back()]) - std::log(next));
    margins_.push_back(std::max(0.0, std::log(left_out) - std::log(taken)));
    if (margins_.back() > 0) where_[margins_.size() - 1] = where;
    chosen.assign(engine.begin(), engine.end());
  }
  // Both programs' probabilities of the experts that could be chosen.
  void Twin(std::span<const double> p, std::span<const double> twin, std::size_t top_k) {
    double largest = 0, squares = 0;
    const std::vector<int> likely = TopK(p, 2 * static_cast<int>(top_k));
    for (const int expert : likely) {
      const auto e = static_cast<std::size_t>(expert);
      const double difference = std::abs(std::log(twin[e]) - std::log(p[e]));
      largest = std::max(largest, difference);
      squares += difference * difference;
    }
    largest_.push_back(largest);
    rms_.push_back(std::sqrt(squares / static_cast<double>(likely.size())));
  }
  void Finish(Judge& judge) const {
    const double allowed = 2 * kKappa * Quantile(largest_, kCalibrationQuantile), sigma = kKappa * Quantile(rms_, 0.5);
    double expected = 0;
    for (std::size_t i = 0; i < margins_.size(); ++i) {
      expected += FlipProbability(gaps_[i], sigma);
      const auto place = where_.find(i);
      judge.Add({.verdict = margins_[i] == 0         ? Verdict::kMatch
                            : margins_[i] <= allowed ? Verdict::kTieFlip
                                                     : Verdict::kWrong,
                 .value = margins_[i],
                 .bound = allowed,
                 .headroom = Headroom(margins_[i], allowed),
                 .metric = "routing_margin",
                 .worst = place == where_.end() ? "" : place->second,
                 .detail = "an expert displaced one that the reference's router prefers by so much in log-probability",
                 .bound_from = "the twin's router q999 x 2, for each of two experts"});
    }
    judge.Add(
        JudgeBudget(static_cast<int>(where_.size()), expected, static_cast<int>(margins_.size()), "routing_budget"));
  }

 private:
  std::vector<double> margins_, gaps_;        // of each decision
  std::map<std::size_t, std::string> where_;  // of those that differ
  std::vector<double> largest_, rms_;         // the twin's errors
};

}  // namespace

void JudgeExperts(const Subject& subject, Ops* ops, Judge& judge) {
  ReleaseReferences();
  ReleaseRealGeometry();
  std::vector<Watched> sessions;
  {
    const std::unique_ptr<Ops> own = ops == nullptr ? MakeOpsOf(subject) : nullptr;
    sessions = Decoded(subject, ops == nullptr ? *own : *ops);
  }
  const ReferencesInScope scope;
  const std::unique_ptr<ReferenceDecoder> reference = MakeReferenceOf(subject);
  const std::unique_ptr<ReferenceDecoder> twin =
      MakeReferenceOf(subject, {.keep_hidden = false, .twin = OperandType(subject.precision)});
  RoutingJudge routing;
  Calibrator calibrator;
  std::vector<std::vector<double>> expected;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const Watched& session = sessions[i];
    std::map<int, std::vector<double>> exact;  // the reference's probabilities for the token at hand, by layer
    reference->SetRouting([&](int layer, std::span<const double> p, std::vector<std::size_t>& chosen) {
      const auto position = static_cast<std::size_t>(reference->length());
      exact[layer].assign(p.begin(), p.end());
      routing.Reference(p, session.choices[position].at(layer), chosen,
                        fmt::format("session {} position {} layer {}", kWatched[i], position, layer));
    });
    twin->SetRouting([&](int layer, std::span<const double> p, std::vector<std::size_t>& chosen) {
      routing.Twin(exact.at(layer), p, chosen.size());
      const std::vector<std::int32_t>& engine = session.choices[static_cast<std::size_t>(twin->length())].at(layer);
      chosen.assign(engine.begin(), engine.end());
    });
    reference->Truncate(0);
    twin->Truncate(0);
    for (int position = 0; position < static_cast<int>(session.tokens.size()); ++position) {
      const std::int32_t token = session.tokens[static_cast<std::size_t>(position)];
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
  routing.Finish(judge);
  StreamJudge stream(LogitTolerance::From(
      calibrator.Finish(fmt::format("{} twin of {} under the engine's routing, the judged sessions",
                                    Name(subject.precision), StoreOf(subject).spec().name))));
  for (std::size_t i = 0; i < sessions.size(); ++i)
    for (std::size_t step = 0; step < sessions[i].rows.size(); ++step) {
      const std::vector<double>& raw = expected[i * kSteps + step];
      std::vector<double> capped = raw;
      for (double& logit : capped) logit = Softcap(logit, StoreOf(subject).spec().softcap);
      const StepResult& found = sessions[i].rows[step];
      const std::vector<double> found_raw = Widen(found.raw), found_capped = Widen(found.capped);
      stream.Add({raw, found_raw, capped, found_capped}, fmt::format("session {} step {}", kWatched[i], step));
    }
  judge.Add(stream.Finish());
}

std::vector<Case> ExpertsCases(const Subject& subject) {
  std::vector<Case> cases;
  if (ReferenceBounds(subject)) return cases;
  Case c = MakeCase("Experts", "DecideWithinTheError", subject, "",
                    [subject](Judge& judge) { JudgeExperts(subject, nullptr, judge); });
  if (IsLarge(StoreOf(subject).spec()))
    c.run = [run = std::move(c.run)] {
      try {
        return run();
      } catch (const OutOfMemory& error) {
        return Skipped(error.what());
      }
    };
  cases.push_back(std::move(c));
  return cases;
}

}  // namespace assay

#include "suites/support/routing.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "oracles/compare/ranking.h"
#include "oracles/compare/tensors.h"
#include "suites/support/case.h"

namespace assay {
namespace {

std::size_t KeyOf(std::span<const float> raw) {
  return std::hash<std::string_view>()({reinterpret_cast<const char*>(raw.data()), raw.size_bytes()});
}

}  // namespace

RoutingDecision DecisionOf(std::span<const double> p, const std::vector<std::int32_t>& chosen, const Place& where) {
  std::vector<bool> in(p.size());
  for (const std::int32_t expert : chosen)
    if (expert >= 0 && expert < std::ssize(p)) in[expert] = true;
  Require(std::count(in.begin(), in.end(), true) == std::ssize(chosen),
          "{}: expected {} different experts of {}, found [{}]", where.ToString(), chosen.size(), p.size(),
          fmt::join(chosen, " "));
  double left_out = 0, taken = 1;  // the best that was left out, the worst that was taken
  for (std::size_t e = 0; e < p.size(); ++e) {
    if (in[e]) taken = std::min(taken, p[e]);
    if (!in[e]) left_out = std::max(left_out, p[e]);
  }
  const std::vector<int> best = TopK(p, static_cast<int>(chosen.size()) + 1);
  const double next = best.size() > chosen.size() ? p[best.back()] : 0;
  return {std::max(0.0, std::log(left_out) - std::log(taken)), std::log(p[best[chosen.size() - 1]]) - std::log(next)};
}

void RoutingErrors::Add(std::span<const double> p, std::span<const double> twin, std::size_t top_k) {
  double largest = 0, squares = 0;
  const std::vector<int> likely = TopK(p, 2 * static_cast<int>(top_k));
  for (const int e : likely) {
    const double difference = std::abs(std::log(twin[e]) - std::log(p[e]));
    largest = std::max(largest, difference);
    squares += difference * difference;
  }
  largest_.push_back(largest);
  rms_.push_back(std::sqrt(squares / static_cast<double>(likely.size())));
}

Bound RoutingErrors::Margin() const {
  return {0, 2 * kKappa * Quantile(largest_, kCalibrationQuantile),
          "the twin's router q999 x 2, for each of two experts"};
}

double RoutingErrors::Sigma() const { return kKappa * Quantile(rms_, 0.5); }

RoutingLog::Node RoutingLog::Add(Node before, std::int32_t token, std::optional<RoutingOps::Choices> choices) {
  entries_.push_back({before, before == kNone ? 0 : At(before).position + 1, token, std::move(choices)});
  return std::ssize(entries_) - 1;
}

RoutingLog::Node RoutingLog::Up(Node node, int length) const {
  while (node != kNone && At(node).position >= length) node = At(node).before;
  return node;
}

std::vector<RoutingLog::Node> RoutingLog::Path(Node node) const {
  std::vector<Node> path;
  for (; node != kNone; node = At(node).before) path.push_back(node);
  std::reverse(path.begin(), path.end());
  return path;
}

void RoutingLog::Follow(Node node, std::span<const float> raw) { rows_[KeyOf(raw)] = node; }

std::optional<RoutingLog::Node> RoutingLog::Of(std::span<const float> raw) const {
  const auto found = rows_.find(KeyOf(raw));
  return found == rows_.end() ? std::nullopt : std::optional(found->second);
}

SessionId RoutedSystem::Open() {
  const SessionId session = EngineSystem::Open();
  ends_[session.index] = RoutingLog::kNone;
  return session;
}

void RoutedSystem::Close(SessionId session) {
  EngineSystem::Close(session);
  ends_.erase(session.index);
}

SessionId RoutedSystem::Fork(SessionId session) {
  const SessionId copy = EngineSystem::Fork(session);
  if (const auto end = ends_.find(session.index); end != ends_.end()) ends_[copy.index] = RoutingLog::Node{end->second};
  return copy;
}

void RoutedSystem::Truncate(SessionId session, int length) {
  EngineSystem::Truncate(session, length);
  if (const auto end = ends_.find(session.index); end != ends_.end()) end->second = log_.Up(end->second, length);
}

// A call that failed may have emptied a session.
bool RoutedSystem::Follows(SessionId session) {
  const auto end = ends_.find(session.index);
  if (end == ends_.end()) return false;
  const int length = Length(session);
  end->second = log_.Up(end->second, length);
  return (end->second == RoutingLog::kNone ? 0 : log_.At(end->second).position + 1) == length;
}

void RoutedSystem::Grow(SessionId session, std::span<const std::int32_t> tokens) {
  RoutingLog::Node& end = ends_.at(session.index);
  for (const std::int32_t token : tokens) {
    const int position = end == RoutingLog::kNone ? 0 : log_.At(end).position + 1;
    RoutingOps::Choices choices = routing().Take(session.index, position);
    end = log_.Add(end, token, choices.empty() ? std::nullopt : std::optional(std::move(choices)));
  }
}

void RoutedSystem::Rows(const StepResult& result, std::span<const SessionId> of_feed) {
  for (int row = 0; row < result.rows(); ++row)
    if (const auto end = ends_.find(of_feed[result.feed[row]].index); end != ends_.end())
      log_.Follow(log_.Up(end->second, result.position[row] + 1), result.Raw(row));
}

StepResult RoutedSystem::Step(std::span<const Feed> feeds) {
  std::vector<SessionId> sessions;
  for (const Feed& feed : feeds) sessions.push_back(feed.session);
  const bool open = std::ranges::all_of(sessions, [&](SessionId s) { return ends_.contains(s.index); });
  StepResult result = EngineSystem::Step(feeds);
  if (!open) return result;
  for (const Feed& feed : feeds) {
    RoutingLog::Node& end = ends_.at(feed.session.index);
    const int before = Length(feed.session) - static_cast<int>(feed.tokens.size());
    end = log_.Up(end, before);
    if ((end == RoutingLog::kNone ? 0 : log_.At(end).position + 1) != before) {  // fed past this system
      ends_.erase(feed.session.index);
      continue;
    }
    Grow(feed.session, feed.tokens);
  }
  Rows(result, sessions);
  return result;
}

std::vector<Tokens> RoutedSystem::Decode(std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                                         int steps) {
  for (const SessionId session : sessions)
    if (ends_.contains(session.index) && !Follows(session)) ends_.erase(session.index);
  std::vector<Tokens> texts = EngineSystem::Decode(sessions, first, steps);
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    if (!ends_.contains(sessions[i].index) || texts[i].empty()) continue;
    Tokens fed = texts[i];
    fed.insert(fed.begin(), first[i]);
    fed.pop_back();
    Grow(sessions[i], fed);
  }
  return texts;
}

StepResult RoutedSystem::Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want, int chunk) {
  const bool follows = ends_.contains(session.index) && Follows(session);
  StepResult result = EngineSystem::Prefill(session, tokens, want, chunk);
  if (!follows) return ends_.erase(session.index), result;
  Grow(session, tokens);
  Rows(result, std::span(&session, 1));
  return result;
}

// The reference and the twin of a target, fed along one path of the log.
struct RoutingJudge::Decoder {
  std::unique_ptr<ReferenceDecoder> reference, twin;
  std::vector<RoutingLog::Node> fed{};
  std::map<int, std::vector<double>> exact{};  // the reference's probabilities of the token at hand, by layer
  const RoutingLog::Entry* entry = nullptr;    // of the token at hand
  std::set<RoutingLog::Node> judged{};
  std::map<RoutingLog::Node, double> closest{};  // the smallest gap of choices that are not known, by node
};

struct RoutingJudge::Answer {
  std::vector<double> raw;
  double twin_error = 0;      // largest
  double closest = INFINITY;  // gap of a choice that is not known
  double unflipped = 1;       // the probability that none of those was another
};

RoutingJudge::RoutingJudge(CaseState& state) : state_(state) {}
RoutingJudge::~RoutingJudge() = default;

RoutingJudge::Answer RoutingJudge::Under(RoutingLog::Node node) {
  const RoutingLog& log = *state_.bench.routing();
  const RoutingTolerance& tolerance = state_.references().Routing(state_.target);
  if (!decoder_) {
    decoder_ = std::make_unique<Decoder>();
    decoder_->reference = state_.references().MakeDecoder(state_.target);
    decoder_->twin =
        state_.references().MakeDecoder(state_.target, {.keep_hidden = false, .twin = state_.target.precision});
    Decoder& d = *decoder_;
    const auto experts = [&d](int layer) -> const std::vector<std::int32_t>* {
      if (!d.entry->choices) return nullptr;
      const auto found = d.entry->choices->find(layer);
      return found == d.entry->choices->end() ? nullptr : &found->second;
    };
    d.reference->SetRouting(
        [&d, experts, &tolerance, this](int layer, std::span<const double> p, std::vector<std::size_t>& chosen) {
          d.exact[layer].assign(p.begin(), p.end());
          const Place at = {{"position", d.entry->position}, {"layer", layer}};
          const std::vector<std::int32_t> own(chosen.begin(), chosen.end());
          const std::vector<std::int32_t>* const engine = experts(layer);
          const RoutingDecision decision = DecisionOf(p, engine != nullptr ? *engine : own, at);
          if (engine == nullptr) {
            if (d.entry->choices) return;  // of a row that nobody wanted, in layers that nothing reads
            double& closest = d.closest.try_emplace(d.fed.back(), INFINITY).first->second;
            closest = std::min(closest, decision.gap);
            return;
          }
          chosen.assign(engine->begin(), engine->end());
          if (decision.margin == 0 || !d.judged.insert(d.fed.back() * 4096 + layer).second) return;
          Judgement judgement =
              Judged("routing_margin", decision.margin, tolerance.margin, at,
                     "an expert displaced one that the reference's router prefers by so much in log-probability",
                     Verdict::kTieFlip);
          // Only rows that differ are looked at: each of their swaps is one that the router's error must explain.
          judgement.soft_probability = 1;
          state_.check.Add(judgement);
        });
    d.twin->SetRouting([&d](int layer, std::span<const double>, std::vector<std::size_t>& chosen) {
      const std::vector<double>& p = d.exact.at(layer);
      if (d.entry->choices)
        if (const auto found = d.entry->choices->find(layer); found != d.entry->choices->end()) {
          chosen.assign(found->second.begin(), found->second.end());
          return;
        }
      const std::vector<int> best = TopK(p, static_cast<int>(chosen.size()));
      chosen.assign(best.begin(), best.end());
    });
  }
  Decoder& d = *decoder_;
  const std::vector<RoutingLog::Node> path = log.Path(node);
  // The last token is fed again: its logits are wanted.
  auto common = std::mismatch(d.fed.begin(), d.fed.end(), path.begin(), path.end()).first - d.fed.begin();
  common = std::min<std::ptrdiff_t>(common, std::ssize(path) - 1);
  d.fed.resize(static_cast<std::size_t>(common));
  d.reference->Truncate(static_cast<int>(common));
  d.twin->Truncate(static_cast<int>(common));
  Answer answer;
  for (auto at = path.begin() + common; at != path.end(); ++at) {
    const RoutingLog::Entry entry = log.At(*at);
    d.fed.push_back(*at);
    d.entry = &entry;
    if (at + 1 != path.end()) {
      d.reference->Skip(entry.token);
      d.twin->Skip(entry.token);
      continue;
    }
    answer.raw = d.reference->Step(entry.token).raw;
    answer.twin_error = Compare(answer.raw, d.twin->Step(entry.token).raw).max_abs;
  }
  for (const RoutingLog::Node each : path)
    if (const auto found = d.closest.find(each); found != d.closest.end()) {
      answer.closest = std::min(answer.closest, found->second);
      answer.unflipped *= 1 - FlipProbability(found->second, tolerance.sigma);
    }
  return answer;
}

std::optional<Judgement> RoutingJudge::Between(std::span<const float> a, std::span<const float> b, const Place& where) {
  const RoutingLog* const log = state_.bench.routing();
  if (log == nullptr) return std::nullopt;
  const std::optional<RoutingLog::Node> of_a = log->Of(a), of_b = log->Of(b);
  if (!of_a || !of_b) return std::nullopt;
  const RoutingTolerance& tolerance = state_.references().Routing(state_.target);
  const Answer under_a = Under(*of_a), under_b = Under(*of_b);
  std::vector<double> moved = Widen(b);
  for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += under_a.raw[i] - under_b.raw[i];
  const double ratio =
      kKappa * std::max(under_a.twin_error, under_b.twin_error) / std::max(tolerance.logits.max_abs.soft, 1e-300);
  Judgement judgement = JudgeTensor(Widen(a), moved, tolerance.logits.At(ratio).Between(), "max_abs_between", where);
  judgement.bound.from = judgement.bound.from.str() + "; what the rows' own experts explain is taken out";
  const double closest = std::min(under_a.closest, under_b.closest);
  if (judgement.verdict != Verdict::kWrong || !judgement.fault.empty() || closest > tolerance.margin.hard)
    return judgement;
  Judgement tie = Judged("max_abs_between", closest, tolerance.margin, where,
                         "a router's closest call in steps whose choices are not known", Verdict::kTieFlip);
  tie.soft_probability = 1 - under_a.unflipped * under_b.unflipped;
  return tie;
}

std::optional<Judgement> RoutingJudge::Tie(std::span<const float> row, const char* metric, const Place& where) {
  const RoutingLog* const log = state_.bench.routing();
  const std::optional<RoutingLog::Node> node = log == nullptr ? std::nullopt : log->Of(row);
  if (!node) return std::nullopt;
  const RoutingTolerance& tolerance = state_.references().Routing(state_.target);
  // Of the text, whatever its experts were: the other side of the comparison may have had others.
  const std::unique_ptr<ReferenceDecoder> reference = state_.references().MakeDecoder(state_.target);
  double closest = INFINITY, unflipped = 1;
  reference->SetRouting([&](int, std::span<const double> p, std::vector<std::size_t>& chosen) {
    const double gap = DecisionOf(p, {chosen.begin(), chosen.end()}, where).gap;
    closest = std::min(closest, gap);
    unflipped *= 1 - FlipProbability(gap, tolerance.sigma);
  });
  for (const RoutingLog::Node each : log->Path(*node)) reference->Skip(log->At(each).token);
  if (closest > tolerance.margin.hard) return std::nullopt;
  Judgement tie = Judged(metric, closest, tolerance.margin, where, "a router's closest call", Verdict::kTieFlip);
  tie.soft_probability = 1 - unflipped;
  return tie;
}

}  // namespace assay

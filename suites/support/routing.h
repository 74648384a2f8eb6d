// Whether two rows of a mixture of experts differ because their tokens were sent to other experts. Rounding decides
// where two experts are as good as equal; then logits differ by as much as logits do, and both are right. So systems
// record what their routers chose, and a row is held against what the reference says under the row's own choices; each
// choice is judged as the decision it is.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "oracles/compare/tolerance.h"
#include "oracles/probes/routing_ops.h"
#include "suites/support/engine_system.h"

namespace assay {

class CaseState;
class ReferenceDecoder;

// How far an engine's choice is from the reference's router's.
struct RoutingDecision {
  double margin;  // log-probability by which the best expert left out is better than the worst taken; at least 0
  double gap;     // between the reference's last chosen and its next
};
// `p`: the reference's probabilities; `chosen`: the engine's experts, which must be so many different ones of them:
// throws InputError naming `where`.
RoutingDecision DecisionOf(std::span<const double> p, const std::vector<std::int32_t>& chosen, const Place& where);

// What the twin's router is off by, with the tolerance of logits when both make the same choices.
struct RoutingTolerance {
  LogitTolerance logits;
  Bound margin;      // of a decision
  double sigma = 0;  // noise of a difference of two log-probabilities
};
// Collects the twin's errors of log-probabilities.
class RoutingErrors {
 public:
  void Add(std::span<const double> p, std::span<const double> twin, std::size_t top_k);
  Bound Margin() const;
  double Sigma() const;

 private:
  std::vector<double> largest_, rms_;
};

// The texts of all sessions of a case as one tree, with the experts of every token.
class RoutingLog {
 public:
  using Node = std::int64_t;
  static constexpr Node kNone = -1;
  struct Entry {
    Node before;
    int position;
    std::int32_t token;
    std::optional<RoutingOps::Choices> choices;  // nothing: not known, of a step that a device had recorded
  };

  Node Add(Node before, std::int32_t token, std::optional<RoutingOps::Choices> choices);
  const Entry& At(Node node) const { return entries_.at(static_cast<std::size_t>(node)); }
  // The node of the same text that has this many tokens.
  Node Up(Node node, int length) const;
  std::vector<Node> Path(Node node) const;  // from position 0

  // These logits followed that token.
  void Follow(Node node, std::span<const float> raw);
  std::optional<Node> Of(std::span<const float> raw) const;

 private:
  std::vector<Entry> entries_;
  std::unordered_map<std::size_t, Node> rows_;  // by the logits' bytes
};

// An engine that keeps such a log.
class RoutedSystem final : public EngineSystem {
 public:
  RoutedSystem(const WeightStore& store, std::unique_ptr<RoutingOps> ops, const EngineOptions& options, RoutingLog& log)
      : EngineSystem(store, std::move(ops), options), log_(log) {}

  SessionId Open() override;
  void Close(SessionId session) override;
  SessionId Fork(SessionId session) override;
  void Truncate(SessionId session, int length) override;
  using SystemUnderTest::Step;
  StepResult Step(std::span<const Feed> feeds) override;
  std::vector<Tokens> Decode(std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                             int steps) override;
  StepResult Prefill(SessionId session, std::span<const std::int32_t> tokens, Want want = Want::kLast,
                     int chunk = 0) override;

 private:
  RoutingOps& routing() { return static_cast<RoutingOps&>(ops()); }
  bool Follows(SessionId session);  // the log knows all that the session holds
  void Grow(SessionId session, std::span<const std::int32_t> tokens);
  void Rows(const StepResult& result, std::span<const SessionId> of_feed);

  RoutingLog& log_;
  std::unordered_map<int, RoutingLog::Node> ends_;  // by the session's index
};

// Judges rows of a target whose systems keep a log.
class RoutingJudge {
 public:
  explicit RoutingJudge(CaseState& state);
  ~RoutingJudge();
  // Two rows of one text that differ by more than computations of the same choices may: what they differ by beyond what
  // their choices explain. The choices themselves are added to the case. Nothing when the log knows neither row.
  std::optional<Judgement> Between(std::span<const float> a, std::span<const float> b, const Place& where);
  // The closest call of the reference's router up to this row, as a tie: where it is within the router's error, what
  // follows may be another text. Nothing when the row is unknown, or no call is close.
  std::optional<Judgement> Tie(std::span<const float> row, const char* metric, const Place& where);

 private:
  struct Answer;
  struct Decoder;
  Answer Under(RoutingLog::Node node);  // what the reference says of a row under its choices

  CaseState& state_;
  std::unique_ptr<Decoder> decoder_;
};

}  // namespace assay

// Many sessions in one engine, decoded together in any number of them: what the large geometries are judged by, where
// loading a model for every case and asking the reference for every row would take too long. The sessions are prefilled
// once; each run decodes from the end of the prompts and goes back to it.
//
// Lengths follow the model's window: some sessions pass it while they decode, some have wrapped their rings before, the
// others are short and ragged. Three sessions, one of each kind, are held against the reference; two of them share
// their long prefix, so that the reference computes it once. All rows are held against the same session decoded alone.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "suites/parity/parity.h"

namespace assay {

Target InBatchInvariantMode(const Target& target);  // whatever mode the target has

class BatchScenario {
 public:
  // How many sessions are decoded together.
  static constexpr int kBatches[] = {1, 2, 3, 8, 16, 17, 33, 64};

  struct Options {
    int steps = 16;
    int most = 64;              // batches up to this size
    bool ask_reference = true;  // false: only the runs against each other
  };
  // Asks the reference first and frees it, so that the engine has the device's memory. Throws OutOfMemory when the
  // reference or an engine for one session does not fit.
  BatchScenario(Workbench& bench, const Target& target, const Options& options);

  // The largest batch for which the engine fits.
  int largest_batch() const { return largest_batch_; }
  // Throws OutOfMemory with the planner's words unless n sessions fit.
  void RequireBatch(int n) const;

  // Whole, in odd chunks, with and without the skipped tail, and packed with others: against the reference and each
  // other.
  void Prefill(CaseState& state);
  // The first n sessions, teacher-forced: the reference's sessions against it, every row against the session alone.
  void Decode(CaseState& state, int n);
  // Recorded greedy steps of the first n sessions; each token must be what a step over the same text prefers, or tie
  // with it.
  void Greedy(CaseState& state, int n);
  // Every session's logits and greedy text in every batch that fits, in another order: the same bits as alone.
  void Invariant(Checker& check);

 private:
  struct Session {
    Tokens tokens;  // the prompt, then what is fed while decoding
    int prompt = 0;
    std::optional<SessionId> id;
    std::vector<float> last_of_prompt;      // logits, from the packed prefill
    std::vector<std::vector<float>> alone;  // logits after each step, decoded alone
    int first_asked() const;                // of the reference's rows
    std::span<const std::int32_t> From(int position, int count) const { return Slice(tokens, position, count); }
  };

  int PromptLength(int session) const;
  void Populate(const ModelSpec& spec, std::uint64_t seed);
  std::vector<ReferenceRequest> Requests() const;
  EngineOptions OptionsFor(int sessions) const;
  void FindLargestBatch(Workbench& bench, int most);

  void Open(int n);    // prefills those of the first n that are not open, packed
  void Rewind(int n);  // to the end of the prompts
  void CloseAll();
  // Teacher-forced steps of these sessions in this order; `visit(step, result)`, a row each.
  template <class Visit>
  void Steps(const std::vector<int>& members, Visit&& visit);
  const std::vector<std::vector<float>>& Alone(int session);
  // What the next step feeds them: each session's first token behind its prompt.
  std::pair<std::vector<SessionId>, Tokens> Next(const std::vector<int>& members) const;
  // The greedy continuation by recorded steps, of which each session is fed its first token.
  std::vector<Tokens> Text(const std::vector<int>& members);
  // A prompt in pieces of `chunk` in a session of its own: logits of its last piece as `want` says.
  StepResult Pieces(const Session& session, int chunk, Want want);

  const Target target_;
  const int steps_;
  int window_, chunk_;
  std::vector<Session> sessions_;
  int largest_batch_ = 0;
  std::map<int, OutOfMemory> refused_;  // batches that do not fit
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<EngineSystem> system_;
};

// What a token that is beyond a tie may still be, given the row that it should follow from; nothing: WRONG.
using GreedyExcuse = std::function<std::optional<Judgement>(std::span<const float> row, const Place& where)>;

// Recorded greedy steps held against steps that read their logits back: each token of `texts` must be what a step over
// the same text prefers, or within `tie` of it; near ties are counted against what noise of `sigma` a logit explains.
// The sessions stand where the text began: behind `first`, which is fed before it. One session in `every`. 0 for both
// figures: exactly.
void CheckGreedy(Checker& check, SystemUnderTest& system, std::span<const SessionId> sessions,
                 std::span<const std::int32_t> first, const std::vector<Tokens>& texts, double tie, double sigma,
                 int every = 1, const GreedyExcuse& excuse = nullptr);
// The same with the tolerance of the target's mode. It is found or calibrated here: a case has asked for it before it
// opened the system.
void CheckGreedy(CaseState& state, SystemUnderTest& system, std::span<const SessionId> sessions,
                 std::span<const std::int32_t> first, const std::vector<Tokens>& texts);

}  // namespace assay

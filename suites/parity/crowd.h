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
#include <vector>

#include "suites/parity/parity.h"

namespace assay {

class Crowd {
 public:
  // How many sessions are decoded together.
  static constexpr int kBatches[] = {1, 2, 3, 8, 16, 17, 33, 64};

  struct Options {
    int steps = 16;
    int most = 64;              // batches up to this size
    bool ask_reference = true;  // false: only the runs against each other
    Ops* ops = nullptr;         // instead of fresh ones of the subject; must outlive the crowd
  };
  // Asks the reference first and frees it, so that the engine has the device's memory. Throws OutOfMemory when the
  // reference or an engine for one session does not fit.
  Crowd(const Subject& subject, const Options& options);

  // The largest batch for which the engine fits.
  int places() const { return places_; }
  // Throws OutOfMemory with the planner's words unless n sessions fit.
  void RequirePlaces(int n) const;

  // Whole, in odd chunks, with and without the skipped tail, and packed with others: against the reference and each
  // other.
  void Prefill(Judge& judge);
  // The first n sessions, teacher-forced: the reference's sessions against it, every row against the session alone.
  void Decode(int n, Judge& judge);
  // Recorded greedy steps of the first n sessions; each token must be what a step over the same text prefers, or tie
  // with it.
  void Greedy(int n, Judge& judge);
  // Every session's logits and greedy text in every batch that fits, in another order: the same bits as alone.
  void Invariant(Judge& judge);

 private:
  struct Member {
    Tokens tokens;  // the prompt, then what is fed while decoding
    int prompt = 0;
    std::optional<SessionId> session;
    std::vector<float> last_of_prompt;      // logits, from the packed prefill
    std::vector<std::vector<float>> alone;  // logits after each step, decoded alone
    int first_asked() const;                // of the reference's rows
    std::span<const std::int32_t> From(int position, int count) const {
      return std::span(tokens).subspan(static_cast<std::size_t>(position), static_cast<std::size_t>(count));
    }
  };

  int PromptLength(int member) const;
  void Populate();
  std::vector<ReferenceRequest> Requests() const;
  EngineOptions OptionsFor(int sessions) const;
  void FindPlaces(int most);

  void Open(int n);    // prefills those of the first n that are not open, packed
  void Rewind(int n);  // to the end of the prompts
  void CloseAll();
  // Teacher-forced steps of these members in this order; `visit(step, result)`, a row each.
  template <class Visit>
  void Steps(const std::vector<int>& members, Visit&& visit);
  const std::vector<std::vector<float>>& Alone(int member);
  // The greedy continuation by recorded steps, of which each member is fed its first token.
  std::vector<Tokens> Text(const std::vector<int>& members);
  // A prompt in pieces of `chunk` in a session of its own: logits of its last piece as `want` says.
  StepResult Pieces(const Member& member, int chunk, Want want);

  Member& At(int member) { return members_[static_cast<std::size_t>(member)]; }
  Engine& engine() { return stage_->engine(); }

  const Subject subject_;
  const int steps_;
  int window_, chunk_;
  std::vector<Member> members_;
  std::unique_ptr<Ops> own_ops_;
  Ops& ops_;
  int places_ = 0;
  std::map<int, OutOfMemory> refused_;  // batches that do not fit
  std::unique_ptr<Stage> stage_;
};

}  // namespace assay

// A schedule for an engine: each move from a few bytes, played and judged on a tiny model.
#include "ci/fuzz/fuzz.h"
#include "suites/parity/player.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  bool empty() const { return at_ >= size_; }
  int Below(int end) { return empty() ? 0 : data_[at_++] % end; }

 private:
  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
};

Schedule ScheduleOf(Bytes bytes) {
  constexpr int kMoves = 24;
  Schedule schedule;
  schedule.sessions = 1 + bytes.Below(4);
  schedule.capacity = 4 + bytes.Below(40);
  schedule.chunk = 1 + bytes.Below(20);
  schedule.rows = bytes.Below(2) == 0 ? 16 : 64;
  while (!bytes.empty() && schedule.moves.size() < kMoves) {
    Move move;
    move.kind = static_cast<Move::Kind>(bytes.Below(7));
    const bool several = move.kind == Move::Kind::kStep || move.kind == Move::Kind::kDecode;
    const int parts = several ? 1 + bytes.Below(3) : 1;
    for (int i = 0; i < parts; ++i)
      move.parts.push_back({(bytes.Below(5) + i) % 5, 1 + bytes.Below(24), static_cast<Want>(bytes.Below(3))});
    move.other = bytes.Below(5);
    move.count = bytes.Below(6);
    if (move.kind == Move::Kind::kDecode && move.count == 0) move.count = 1;
    if (bytes.Below(8) == 7) move.fails_at = bytes.Below(40);
    move.bad_token = bytes.Below(16) == 15;
    schedule.moves.push_back(std::move(move));
  }
  return schedule;
}

}  // namespace
}  // namespace assay

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assay;
  static Workbench bench;
  Schedule schedule = ScheduleOf(Bytes(data, size));
  // As a line it is the same one, or one that cannot be said.
  try {
    schedule = ScheduleFromText(ToText(schedule));
  } catch (const InputError&) {
    return 0;
  }
  const Target target{.model = size % 2 == 0 ? "tiny-llama" : "tiny-gemma4-ple"};
  const Case item = MakeCase("Fuzz", "Schedule", target, {}, {Capability::kInternals},
                             [&](CaseState& state) { PlaySchedule(state, schedule); });
  const CaseOutcome outcome = CaseRunner(bench).Run(item);
  if (outcome.judgements.empty() && outcome.status == Status::kFail) return 0;  // its moves mean nothing
  if (outcome.status == Status::kFail || outcome.status == Status::kError)
    throw Error(outcome.reason + " in " + ToText(schedule));
  return 0;
}

#include <memory>
#include <tuple>

#include "suites/parity/crowd.h"

namespace assay {
namespace {

using Key = std::tuple<std::string, std::string, Precision, std::uint64_t, bool, int>;
Key KeyOf(const Subject& s, const Crowd::Options& options) {
  return {s.model, s.device, s.precision, s.seed, s.batch_invariant, options.steps};
}

// The crowd of one subject, made when its first case runs and freed when another subject's does. What did not fit is
// remembered: finding out again would load the model again.
struct Shared {
  Key key;
  std::unique_ptr<Crowd> crowd;
  std::unique_ptr<OutOfMemory> refusal;
};

Shared& SharedState() {
  static auto& shared = *new Shared();  // never destroyed: at exit the CUDA runtime may be gone first
  return shared;
}

Crowd& SharedCrowd(const Subject& subject, const Crowd::Options& options) {
  Shared& shared = SharedState();
  const Key key = KeyOf(subject, options);
  if (shared.key != key || (!shared.crowd && !shared.refusal)) {
    shared = Shared();
    try {
      shared.crowd = std::make_unique<Crowd>(subject, options);
    } catch (const OutOfMemory& error) {
      shared.refusal = std::make_unique<OutOfMemory>(error);
    }
    shared.key = key;
  }
  if (shared.refusal) throw *shared.refusal;
  return *shared.crowd;
}

Case MakeCrowdCase(const std::string& name, const Subject& listed, const std::string& rest, const Subject& subject,
                   const Crowd::Options& options, int places, std::function<void(Crowd&, Judge&)> body) {
  Case c = MakeCase("RealGeometry", name, listed, rest, {});
  c.run = [subject, options, places, body = std::move(body)] {
    Crowd* crowd = nullptr;
    try {
      crowd = &SharedCrowd(subject, options);
      crowd->RequirePlaces(places);
    } catch (const OutOfMemory& error) {
      return Skipped(error.what());
    }
    Judge judge;
    body(*crowd, judge);
    return judge.Finish();
  };
  return c;
}

}  // namespace

void ReleaseRealGeometry() { SharedState() = Shared(); }

std::vector<Case> RealGeometryCases(const Subject& subject) {
  std::vector<Case> cases;
  if (subject.device == "host" || !IsLarge(StoreOf(subject).spec())) return cases;
  cases.push_back(
      MakeCrowdCase("Prefill", subject, "", subject, {}, 1, [](Crowd& crowd, Judge& judge) { crowd.Prefill(judge); }));
  for (const int n : Crowd::kBatches) {
    cases.push_back(
        MakeCrowdCase("BatchedDecode", subject, fmt::format("n{}", n), subject, {}, n, [n](Crowd& crowd, Judge& judge) {
          crowd.Decode(n, judge);
          crowd.Greedy(n, judge);
        }));
  }
  Subject invariant = subject;
  invariant.batch_invariant = true;
  // Listed under the name of the subject that was asked for: the mode belongs to the case.
  cases.push_back(MakeCrowdCase("BatchInvariant", subject, "", invariant, {.steps = 4, .ask_reference = false}, 2,
                                [](Crowd& crowd, Judge& judge) { crowd.Invariant(judge); }));
  return cases;
}

}  // namespace assay

// Workbenches whose engines are not what they should be: what tests of suites must see red on.
#pragma once

#include <algorithm>
#include <cctype>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "oracles/probes/faulty_ops.h"
#include "suites/support/case.h"

namespace assay {

// Letters, digits and underscores: what gtest takes for the name of a parameter.
inline std::string TestName(std::string name) {
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

// Every engine of the workbench runs over a `Probe` around its own ops, made with a copy of `args`.
template <class Probe, class... Args>
std::unique_ptr<EngineProvider> Decorated(Args... args) {
  return std::make_unique<EngineProvider>([=](std::unique_ptr<Ops> ops) -> std::unique_ptr<Ops> {
    return std::make_unique<OwningProbe<Probe>>(std::move(ops), args...);
  });
}

// A fault that leaves word whether it has changed anything: its ops are gone when that is asked.
class WitnessedFault : public FaultyOps {
 public:
  WitnessedFault(Ops& inner, Fault fault, std::shared_ptr<bool> engaged)
      : FaultyOps(inner, fault), engaged_(std::move(engaged)) {}
  ~WitnessedFault() override { *engaged_ = *engaged_ || FaultyOps::engaged(); }

 private:
  std::shared_ptr<bool> engaged_;
};

// A router that takes another expert in the last one's place: a consistent engine with a wrong decision.
class OtherExpert : public ForwardingOps {
 public:
  OtherExpert(Ops& inner, std::shared_ptr<bool> engaged) : ForwardingOps(inner), engaged_(std::move(engaged)) {}
  void Route(const RouteArgs& args) override {
    ForwardingOps::Route(args);
    for (int row = 0; row < args.rows; ++row) {
      std::int32_t* chosen = args.expert + row * args.top_k;  // the host's memory
      std::int32_t& last = chosen[args.top_k - 1];
      do last = (last + 1) % args.experts;
      while (std::find(chosen, chosen + args.top_k - 1, last) != chosen + args.top_k - 1);
    }
    *engaged_ = true;
  }

 private:
  std::shared_ptr<bool> engaged_;
};

// A workbench with one fault planted under every engine that it opens.
class PlantedBench {
 public:
  explicit PlantedBench(Fault fault)
      : engaged_(std::make_shared<bool>(false)), bench_(Decorated<WitnessedFault>(fault, engaged_)) {}

  Workbench& bench() { return bench_; }
  // Whether the fault has changed anything: asked when the engines are gone. A suite that is red without that is red
  // for another reason.
  bool engaged() const { return *engaged_; }

 private:
  std::shared_ptr<bool> engaged_;
  Workbench bench_;
};

// What `body` finds out about a target.
inline CaseOutcome OutcomeOf(Workbench& bench, const Target& target, const std::function<void(CaseState&)>& body) {
  CaseState state(bench, target);
  body(state);
  return state.Finish();
}

}  // namespace assay

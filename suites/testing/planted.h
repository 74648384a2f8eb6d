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

// A workbench with one fault planted under every engine that it opens.
class PlantedBench {
 public:
  explicit PlantedBench(Fault fault)
      : engaged_(std::make_shared<bool>(false)), bench_(Decorated<Witnessed>(fault, engaged_)) {}

  Workbench& bench() { return bench_; }
  // Whether the fault has changed anything: asked when the engines are gone. A suite that is red without that is red
  // for another reason.
  bool engaged() const { return *engaged_; }

 private:
  class Witnessed : public FaultyOps {
   public:
    Witnessed(Ops& inner, Fault fault, std::shared_ptr<bool> engaged)
        : FaultyOps(inner, fault), engaged_(std::move(engaged)) {}
    ~Witnessed() override { *engaged_ = *engaged_ || FaultyOps::engaged(); }

   private:
    std::shared_ptr<bool> engaged_;
  };

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

#include "suites/parity/batch_scenario.h"

namespace assay {
namespace {

// One engine serves all cases of a target: loading it again for each would take longer than they do.
BatchScenario& SharedScenario(CaseState& state, const Target& target, const BatchScenario::Options& options) {
  const std::string key = fmt::format("real geometry {} {} {} {} {} {}", target.model, target.device.name(),
                                      Name(target.precision), target.seed, target.batch_invariant, options.steps);
  return state.bench.Shared<BatchScenario>(
      key, [&] { return std::make_unique<BatchScenario>(state.bench, target, options); });
}

Case MakeScenarioCase(const char* name, const Target& listed, std::vector<Axes::Axis> own, const Target& target,
                      const BatchScenario::Options& options, int batch,
                      std::function<void(BatchScenario&, CaseState&)> body) {
  Case item = MakeCase("RealGeometry", name, listed, std::move(own), {Capability::kInternals},
                       [target, options, batch, body = std::move(body)](CaseState& state) {
                         BatchScenario& scenario = SharedScenario(state, target, options);
                         scenario.RequireBatch(batch);
                         body(scenario, state);
                       });
  item.may_not_fit = true;
  item.tokens = 1000;
  return item;
}

}  // namespace

std::vector<Case> RealGeometryCases(Workbench& bench, const Target& target) {
  std::vector<Case> cases;
  if (target.device.on_host() || !IsLarge(bench.Spec(target))) return cases;
  cases.push_back(MakeScenarioCase("Prefill", target, {}, target, {}, 1,
                                   [](BatchScenario& scenario, CaseState& state) { scenario.Prefill(state); }));
  for (const int n : BatchScenario::kBatches)
    cases.push_back(MakeScenarioCase("BatchedDecode", target, {{"n", n}}, target, {}, n,
                                     [n](BatchScenario& scenario, CaseState& state) {
                                       scenario.Decode(state, n);
                                       scenario.Greedy(state, n);
                                     }));
  // Listed under the target that was asked for: the mode belongs to the case.
  cases.push_back(MakeScenarioCase("BatchInvariant", target, {}, InBatchInvariantMode(target),
                                   {.steps = 4, .ask_reference = false}, 2,
                                   [](BatchScenario& scenario, CaseState& state) { scenario.Invariant(state.check); }));
  return cases;
}

}  // namespace assay

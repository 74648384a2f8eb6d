#include "suites/support/case.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "engine/ops/ops_factory.h"
#include "engine/runtime/memory_plan.h"

namespace assay {
namespace {

// Seconds of one token and one weight: of the reference on a host, in the arithmetic of bf16, which is what most cases
// wait for on any device. Measured over the embedded models; the order and the cut of groups follow from it.
constexpr double kSecondsPerTokenAndWeight = 1e-10;

// What the cases of one model in one mode on one device share.
struct Footprint {
  std::size_t memory_bytes = 0;
  double weights = 0;
};

Footprint FootprintOf(Workbench& bench, const Target& target) {
  // What an engine of ordinary sizes needs; weights are most of it. The reference of a large model comes and goes
  // before.
  const WeightStore& store = bench.Store(target);
  const Device device = PlanningAvailable(target.device) ? target.device : Device::Host();
  return {PlanMemory(store, *MakePlanningOps(device, target.precision), EngineOptions()).total(),
          static_cast<double>(WeightCount(store.spec()))};
}

double RoughSeconds(const Case& item, double weights) {
  return item.seconds + kSecondsPerTokenAndWeight * item.tokens * weights;
}

}  // namespace

CaseOutcome CaseState::Finish() const {
  CaseOutcome outcome = check.Finish();
  outcome.kernels.assign(kernels_.begin(), kernels_.end());
  return outcome;
}

double RoughSeconds(Workbench& bench, const Case& item) {
  return RoughSeconds(item, static_cast<double>(WeightCount(bench.Spec(item.target))));
}

std::vector<CaseGroup> GroupCases(Workbench& bench, std::vector<Case> cases) {
  std::vector<CaseGroup> groups;
  std::map<std::tuple<std::string, std::uint64_t, Precision, bool>, Footprint> footprints;
  for (Case& item : cases) {
    const Target& target = item.target;
    const auto [known, fresh] =
        footprints.try_emplace({target.model, target.seed, target.precision, target.device.on_host()});
    if (fresh) known->second = FootprintOf(bench, target);
    const Footprint& footprint = known->second;
    const std::string model = item.axes.Text("model"), device = item.target.device.kind_name();
    auto group = std::find_if(groups.begin(), groups.end(), [&](const CaseGroup& g) {
      return g.model == model && g.device == device && g.seed == target.seed;
    });
    if (group == groups.end()) group = groups.insert(groups.end(), {model, device, target.seed, {}, 0, 0});
    group->memory_bytes = std::max(group->memory_bytes, footprint.memory_bytes);
    group->seconds += RoughSeconds(item, footprint.weights);
    group->cases.push_back(std::move(item));
  }
  return groups;
}

std::vector<Target> TargetsOf(Workbench& bench, const SuiteInputs& inputs) {
  std::map<std::string, std::vector<std::string>> by_label;
  for (const std::string& model : inputs.models) by_label[ModelLabel(model)].push_back(model);
  std::map<std::string, std::string> labels, taken;
  for (const auto& [label, models] : by_label)
    for (const std::string& model : models) {
      labels[model] =
          models.size() == 1 ? label : fmt::format("{}#{:.8}", label, bench.Store(model, inputs.seed).Identity());
      const auto [other, fresh] = taken.emplace(labels[model], model);
      Require(fresh, "model '{}' is there twice: '{}' holds the same weights under the same name", model,
              other->second);
    }
  std::vector<Target> targets;
  for (const std::string& model : inputs.models)
    for (const Device& device : inputs.devices)
      for (int i = 0; i < inputs.seeds; ++i)
        for (const Precision precision : inputs.dtypes) {
          targets.push_back(
              {model, device, precision, inputs.seed + i, inputs.batch_invariant, labels.at(model), inputs.seeds > 1});
          targets.back().loose = bench.provider().Loose();
        }
  return targets;
}

Case MakeCase(const char* suite, const char* name, const Target& target, std::vector<Axes::Axis> own,
              std::vector<Capability> needs, std::function<void(CaseState&)> body) {
  Case item;
  item.suite = suite;
  item.name = name;
  item.axes = target.axes();
  for (auto& [axis, value] : own) item.axes.Set(axis, value);
  item.target = target;
  item.needs = std::move(needs);
  item.body = std::move(body);
  return item;
}

}  // namespace assay

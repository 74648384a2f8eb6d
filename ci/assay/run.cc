#include <fmt/core.h>

#include <utility>

#include "ci/assay/commands.h"
#include "ci/assay/session.h"
#include "ci/assay/terminal.h"
#include "engine/model/presets.h"
#include "engine/ops/ops_factory.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

SuiteInputs InputsOf(const RunArguments& arguments) {
  SuiteInputs inputs;
  inputs.models = arguments.models.empty() ? DefaultModels() : MatchModels(arguments.models);
  inputs.dtypes = arguments.dtypes.empty() ? DefaultDtypes() : Distinct(arguments.dtypes);
  inputs.devices = {ResolveDevice(arguments.device)};
  inputs.seed = arguments.seed;
  inputs.batch_invariant = arguments.batch_invariant;
  return inputs;
}

}  // namespace

int RunCommand(const RunArguments& arguments, const Invocation& invocation) {
  const SuiteInputs inputs = InputsOf(arguments);
  std::vector<Case> all = ListCases(inputs, arguments.suites);
  CaseRun run;
  run.kind = "run";
  run.listed = all.size();
  run.cases = SelectCases(std::move(all), arguments.pattern);
  run.devices = inputs.devices;
  run.seed = arguments.seed;
  run.report = arguments.report;
  run.replay = [&](const Case& item) {
    return ReplayLine(item, arguments.seed) + (arguments.batch_invariant ? " --batch-invariant" : "");
  };
  return RunAndReport(run, invocation);
}

int ListCommand(const RunArguments& arguments, bool cases) {
  if (cases) {
    const std::vector<Case> selected = SelectCases(ListCases(InputsOf(arguments), arguments.suites), arguments.pattern);
    for (const Case& item : selected) fmt::print("{}\n", item.id());
    return selected.empty() ? kExitIncomplete : kExitPass;
  }
  Table suites("<<", {"suite", "what it checks"});
  for (const SuiteEntry& suite : Suites()) suites.Add({suite.name, suite.about});
  suites.Print(stdout);
  fmt::print("\n");
  Table models("<<", {"embedded model", "goldens"});
  for (const EmbeddedModel& model : EmbeddedModels())
    models.Add({model.name, model.goldens.empty() ? "none" : "recorded"});
  models.Print(stdout);
  fmt::print("\npresets (synthetic weights):");
  for (const std::string& name : PresetNames()) fmt::print(" {}", name);
  fmt::print("\n\n");
  Table devices("<<", {"device", "usable"});
  for (const char* device : {"host", "cuda"}) {
    const Support support = DeviceAvailable(device);
    devices.Add({device, support.ok ? MakeOps(device, Precision::kFp32)->device() : support.reason});
  }
  devices.Print(stdout);
  return kExitPass;
}

}  // namespace assay

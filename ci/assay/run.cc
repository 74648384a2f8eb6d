#include <fmt/core.h>

#include <memory>
#include <utility>

#include "ci/assay/case_run.h"
#include "ci/assay/commands.h"
#include "ci/assay/rerun.h"
#include "ci/assay/selection.h"
#include "ci/assay/spread.h"
#include "ci/assay/system.h"
#include "ci/assay/terminal.h"
#include "engine/ops/ops_factory.h"
#include "suites/parity/divergence.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {

int RunCommand(const RunArguments& asked, const SpreadArguments& spread, const Invocation& invocation,
               const CaseLister& list) {
  const RunArguments arguments = asked.rerun.empty() ? asked : FailedCases(asked.rerun, asked);
  if (!asked.rerun.empty() && arguments.patterns.empty()) {
    Tell("{}: no case failed in it: nothing to run again\n", asked.rerun);
    return kExitIncomplete;
  }
  if (spread.asked()) {
    Require(arguments.system.command.empty(), "--system: a run of another system is not spread over workers");
    return SpreadCommand(arguments, spread, invocation, list);
  }
  std::unique_ptr<ProcessProvider> provider = ProviderOf(arguments.system);
  RunArguments with = arguments;
  with.device = DeviceOf(provider.get(), arguments.device);
  with.dtypes = DtypesOf(provider.get(), arguments.dtypes);
  const SuiteInputs inputs = InputsOf(with);
  Workbench bench(std::move(provider));
  std::vector<Case> all = list(bench, inputs, arguments.suites);
  CaseRun run;
  run.kind = "run";
  run.listed = all.size();
  run.cases = Selected(std::move(all), arguments);
  run.device = inputs.devices.front();
  run.seed = arguments.seed;
  run.report = arguments.report;
  run.exports = arguments.exports;
  run.measures = arguments.measures;
  run.replay = [&](const Case& item) { return WithSystem(arguments.system, ReplayLine(item)); };
  if (arguments.system.command.empty()) run.begins = [](const Case& item) { return FirstDivergence(item); };
  run.control = arguments.control;
  run.notes = EmptySuites(bench, inputs, arguments.suites);
  run.seeds = arguments.repeat > 1;
  return RunAndReport(bench, std::move(run), invocation);
}

}  // namespace assay

// assay soak: random schedules on one model after another, for as long as asked.
#include "suites/parity/soak.h"
#include "ci/assay/case_run.h"
#include "ci/assay/commands.h"
#include "ci/assay/selection.h"
#include "engine/base/check.h"
#include "engine/text/shell.h"
#include "suites/suites.h"

namespace assay {

int SoakCommand(const SoakArguments& arguments, const Invocation& invocation) {
  RunArguments selection;
  selection.models = arguments.models;
  selection.dtypes = {arguments.dtype};
  selection.device = arguments.device;
  selection.seed = arguments.seed;
  const SuiteInputs inputs = InputsOf(selection);
  Workbench bench;
  const std::vector<Target> targets = TargetsOf(bench, inputs);
  const double seconds = 60 * arguments.minutes / static_cast<double>(targets.size());
  CaseRun run;
  run.kind = "run";
  for (const Target& target : targets) run.cases.push_back(SoakCase(target, seconds));
  run.listed = run.cases.size();
  run.device = inputs.devices.front();
  run.seed = arguments.seed;
  run.report = arguments.report;
  run.exports = arguments.exports;
  run.replay = [&](const Case& item) {
    const Target& target = item.target;
    return fmt::format("assay soak --minutes {:g} --model {} --dtype {} --device {} --seed {}", seconds / 60,
                       Quoted(target.model), Name(target.precision), target.device.name(), target.seed);
  };
  run.control = arguments.control;
  return RunAndReport(bench, std::move(run), invocation);
}

}  // namespace assay

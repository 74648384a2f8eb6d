#include "ci/assay/commands.h"
#include "ci/assay/session.h"
#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "oracles/golden/trace.h"
#include "suites/golden/golden_cases.h"
#include "suites/golden/golden_suite.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"
#include "suites/support/runner.h"

namespace assay {

int GoldenCommand(const GoldenArguments& arguments, const Invocation& invocation) {
  const std::vector<std::string> models = MatchModels({arguments.model});
  Require(models.size() == 1, "model '{}': expected one model, found {}", arguments.model, models.size());
  const std::string model = models.front();
  const std::string trace = arguments.goldens.empty() ? GoldensOf(model) : arguments.goldens;
  Require(!trace.empty(), "{}: no goldens.safetensors or .logits.json beside it: name a file with --goldens", model);
  ReadGolden(trace);  // a broken file is bad input, not a failed case

  const std::string device = ResolveDevice(arguments.device);
  const SuiteInputs inputs{
      {model}, arguments.dtypes.empty() ? DefaultDtypes() : Distinct(arguments.dtypes), {device}, arguments.seed};
  std::vector<Case> cases = GoldenEngineCases(model, trace, inputs);
  cases.insert(cases.begin(), GoldenReferenceCase(model, trace, device, arguments.seed));

  CaseRun run;
  run.kind = "golden";
  run.listed = cases.size();
  run.cases = SelectCases(std::move(cases), arguments.pattern);
  run.devices = {device};
  run.seed = arguments.seed;
  run.report = arguments.report;
  run.replay = [&](const Case& item) {
    std::string line = ReplayLine(item, arguments.seed);
    line.replace(0, std::string_view("assay run").size(), "assay golden --goldens " + Quoted(trace));
    return line;
  };
  return RunAndReport(run, invocation);
}

}  // namespace assay

#include <fmt/core.h>

#include <filesystem>

#include "ci/assay/case_run.h"
#include "ci/assay/commands.h"
#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "oracles/golden/trace.h"
#include "suites/golden/golden_suite.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"
#include "suites/support/runner.h"
#include "text/shell.h"

namespace assay {

int GoldenCommand(const GoldenArguments& arguments, const Invocation& invocation) {
  const std::vector<std::string> models = MatchModels({arguments.model});
  Require(models.size() == 1, "model '{}': expected one model, found {}", arguments.model, models.size());
  const std::string model = models.front();
  const std::string trace = arguments.goldens.empty() ? GoldensOf(model) : arguments.goldens;
  Require(!trace.empty(), "{}: no goldens.safetensors or .logits.json beside it: name a file with --goldens", model);

  const Device device = ResolveDevice(arguments.device);
  Workbench bench;
  const ModelSpec& spec = bench.Store(model, arguments.seed).spec();
  GoldenOptions options;
  if (!arguments.recorded_in.empty()) options.precision = PrecisionFromName(arguments.recorded_in);
  if (arguments.padding) options.vocab = spec.vocab;
  RequireSameVocabulary(ReadGolden(trace, options), spec);  // bad input, not a failed case
  const SuiteInputs inputs{
      {model}, arguments.dtypes.empty() ? DefaultDtypes() : PrecisionsOf(arguments.dtypes), {device}, arguments.seed};
  std::vector<Case> cases;
  for (const Target& target : TargetsOf(bench, inputs)) {
    if (cases.empty()) cases.push_back(GoldenReferenceCase(bench, target, trace, options));
    for (Case& item : GoldenSystemCases(bench, target, trace, options)) cases.push_back(std::move(item));
  }

  CaseRun run;
  run.kind = "golden";
  run.listed = cases.size();
  run.cases = SelectCases(std::move(cases), arguments.patterns, arguments.excluded);
  run.device = device;
  run.seed = arguments.seed;
  run.report = arguments.report;
  run.exports = arguments.exports;
  run.measures = arguments.measures;
  run.control = arguments.control;
  run.replay = [&](const Case& item) {
    std::string line = ReplayLine(item);
    std::string command = "assay golden --goldens " + Quoted(std::filesystem::absolute(trace).string());
    if (!arguments.recorded_in.empty()) command += " --recorded-in " + arguments.recorded_in;
    if (arguments.padding) command += " --padding";
    line.replace(0, std::string_view("assay run").size(), command);
    return line;
  };
  return RunAndReport(bench, std::move(run), invocation);
}

}  // namespace assay

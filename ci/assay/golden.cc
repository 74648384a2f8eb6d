#include <fmt/core.h>

#include <filesystem>
#include <memory>
#include <utility>

#include "ci/assay/case_run.h"
#include "ci/assay/commands.h"
#include "ci/assay/system.h"
#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "engine/text/shell.h"
#include "oracles/golden/trace.h"
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

  std::unique_ptr<ProcessProvider> provider = ProviderOf(arguments.system);
  const Device device = ResolveDevice(DeviceOf(provider.get(), arguments.device));
  const std::vector<std::string> dtypes = DtypesOf(provider.get(), arguments.dtypes);
  Workbench bench(std::move(provider));
  const ModelSpec& spec = bench.Store(model, arguments.seed).spec();
  GoldenOptions options;
  if (!arguments.recorded_in.empty()) options.precision = PrecisionFromName(arguments.recorded_in);
  if (arguments.padding) options.vocab = spec.vocab;
  RequireSameVocabulary(ReadGolden(trace, options), spec);  // bad input, not a failed case
  const SuiteInputs inputs{{model}, dtypes.empty() ? DefaultDtypes() : PrecisionsOf(dtypes), {device}, arguments.seed};
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
    return WithSystem(arguments.system, line);
  };
  return RunAndReport(bench, std::move(run), invocation);
}

}  // namespace assay

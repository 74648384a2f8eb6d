#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ci/assay/case_run.h"
#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "engine/memory/device_facts.h"
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
  inputs.dtypes = arguments.dtypes.empty() ? DefaultDtypes() : PrecisionsOf(arguments.dtypes);
  inputs.devices = {ResolveDevice(arguments.device)};
  inputs.seed = arguments.seed;
  inputs.batch_invariant = arguments.batch_invariant;
  return inputs;
}

// The common beginning of two texts, read without their punctuation: ids of earlier versions differ in that alone.
std::size_t Likeness(const std::string& a, const std::string& b) {
  const auto letters = [](std::string text) {
    std::erase_if(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
    return text;
  };
  const std::string x = letters(a), y = letters(b);
  return static_cast<std::size_t>(std::mismatch(x.begin(), x.end(), y.begin(), y.end()).first - x.begin());
}

// The cases that `pattern` names. An id that names none, unlike a pattern, is a mistake worth a hint.
std::vector<Case> Selected(std::vector<Case> all, const std::string& pattern) {
  std::string nearest;
  for (const Case& item : all)
    if (nearest.empty() || Likeness(item.id(), pattern) > Likeness(nearest, pattern)) nearest = item.id();
  std::vector<Case> selected = SelectCases(std::move(all), pattern);
  if (selected.empty() && !nearest.empty() && pattern.find_first_of("*?[") == std::string::npos)
    fmt::print(stderr,
               "assay: case '{}': no case has this id; ids read Suite.Name/model/dtype/device/axis=value, the "
               "nearest is '{}'\n",
               pattern, nearest);
  return selected;
}

}  // namespace

int RunCommand(const RunArguments& arguments, const Invocation& invocation) {
  const SuiteInputs inputs = InputsOf(arguments);
  Workbench bench;
  std::vector<Case> all = ListCases(bench, inputs, arguments.suites);
  CaseRun run;
  run.kind = "run";
  run.listed = all.size();
  run.cases = Selected(std::move(all), arguments.pattern);
  run.device = inputs.devices.front();
  run.seed = arguments.seed;
  run.report = arguments.report;
  run.replay = ReplayLine;
  return RunAndReport(bench, std::move(run), invocation);
}

int ListCommand(const RunArguments& arguments, ListWhat what) {
  if (what != ListWhat::kOverview) {
    Workbench bench;
    std::vector<Case> selected = Selected(ListCases(bench, InputsOf(arguments), arguments.suites), arguments.pattern);
    const bool none = selected.empty();
    if (what == ListWhat::kCases) {
      for (const Case& item : selected) fmt::print("{}\n", item.id());
    } else {
      Table groups("<<>>>", {"model", "device", "cases", "device memory", "about"});
      for (const CaseGroup& group : GroupCases(bench, std::move(selected)))
        groups.Add({group.model, group.device, fmt::format("{}", group.cases.size()),
                    HumanBytes(static_cast<double>(group.memory_bytes)), fmt::format("{:.0f} s", group.seconds)});
      groups.Print(stdout);
    }
    return none ? kExitIncomplete : kExitPass;
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
  std::vector<Device> known{Device::Host()};
  for (int i = 0; i < std::max(1, CudaDeviceCount()); ++i) known.push_back(Device::Cuda(i));
  for (const Device& device : known) {
    const Support support = DeviceAvailable(device);
    devices.Add({device.name(), support.ok ? MakeOps(device, Precision::kFp32)->device() : support.reason});
  }
  devices.Print(stdout);
  return kExitPass;
}

}  // namespace assay

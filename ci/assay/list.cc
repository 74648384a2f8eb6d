#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "ci/assay/commands.h"
#include "ci/assay/selection.h"
#include "ci/assay/terminal.h"
#include "engine/memory/device_facts.h"
#include "engine/model/presets.h"
#include "engine/ops/ops_factory.h"
#include "reports/format/json.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

std::vector<Device> KnownDevices() {
  std::vector<Device> known{Device::Host()};
  for (int i = 0; i < std::max(1, CudaDeviceCount()); ++i) known.push_back(Device::Cuda(i));
  return known;
}

Json OverviewJson() {
  Json suites = Json::array(), models = Json::array(), devices = Json::array();
  for (const SuiteEntry& suite : Suites()) suites.push_back({{"name", suite.name}, {"about", suite.about}});
  for (const EmbeddedModel& model : EmbeddedModels())
    models.push_back({{"name", model.name}, {"goldens", !model.goldens.empty()}});
  for (const Device& device : KnownDevices()) {
    const Support support = DeviceAvailable(device);
    devices.push_back({{"name", device.name()}, {"usable", support.ok}, {"reason", support.reason}});
  }
  return {{"suites", suites}, {"embedded", models}, {"presets", PresetNames()}, {"devices", devices}};
}

// Seconds are rough: of two cores of a host.
Json SelectionJson(Workbench& bench, std::vector<Case> cases, ListWhat what) {
  Json list = Json::array();
  if (what == ListWhat::kCases) {
    for (const Case& item : cases)
      list.push_back({{"id", item.id()},
                      {"suite", item.suite},
                      {"name", item.name},
                      {"axes", AxesJson(item.axes)},
                      {"seconds", RoughSeconds(bench, item)}});
    return {{"cases", list}};
  }
  for (const CaseGroup& group : GroupCases(bench, std::move(cases)))
    list.push_back({{"model", group.model},
                    {"device", group.device},
                    {"cases", group.cases.size()},
                    {"memory_bytes", group.memory_bytes},
                    {"seconds", group.seconds}});
  return {{"groups", list}};
}

}  // namespace

int ListCommand(const RunArguments& arguments, ListWhat what, const CaseLister& list) {
  if (what != ListWhat::kOverview) {
    Workbench bench;
    const SuiteInputs inputs = InputsOf(arguments);
    std::vector<Case> selected = Selected(list(bench, inputs, arguments.suites), arguments);
    for (const std::string& note : EmptySuites(bench, inputs, arguments.suites)) Tell(stderr, "{}\n", note);
    const bool none = selected.empty();
    if (arguments.json) {
      WriteOut(Ascii(SelectionJson(bench, std::move(selected), what), 1) + "\n");
    } else if (what == ListWhat::kCases) {
      for (const Case& item : selected) Tell("{}\n", item.id());
    } else {
      Table groups("<<>>>", {"model", "device", "cases", "device memory", "about"});
      for (const CaseGroup& group : GroupCases(bench, std::move(selected)))
        groups.Add({group.model, group.device, fmt::format("{}", group.cases.size()),
                    HumanBytes(static_cast<double>(group.memory_bytes)), fmt::format("{:.0f} s", group.seconds)});
      groups.Print(stdout);
    }
    return none ? kExitIncomplete : kExitPass;
  }
  if (arguments.json) {
    WriteOut(Ascii(OverviewJson(), 1) + "\n");
    return kExitPass;
  }
  Table suites("<<", {"suite", "what it checks"});
  for (const SuiteEntry& suite : Suites()) suites.Add({suite.name, suite.about});
  suites.Print(stdout);
  Tell("\n");
  Table models("<<", {"embedded model", "goldens"});
  for (const EmbeddedModel& model : EmbeddedModels())
    models.Add({model.name, model.goldens.empty() ? "none" : "recorded"});
  models.Print(stdout);
  Tell("\npresets (synthetic weights):");
  for (const std::string& name : PresetNames()) Tell(" {}", name);
  Tell("\n\n");
  Table devices("<<", {"device", "usable"});
  for (const Device& device : KnownDevices()) {
    const Support support = DeviceAvailable(device);
    devices.Add({device.name(), support.ok ? MakeOps(device, Precision::kFp32)->device() : support.reason});
  }
  devices.Print(stdout);
  return kExitPass;
}

}  // namespace assay

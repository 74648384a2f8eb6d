#include "ci/assay/system.h"

#include <fmt/core.h>

#include <map>
#include <set>
#include <utility>

#include "engine/text/shell.h"
#include "suites/support/runner.h"
#include "suites/systems/server.h"

namespace assay {

std::unique_ptr<ProcessProvider> ProviderOf(const SystemArguments& system) {
  if (system.command.empty()) return nullptr;
  return std::make_unique<ProcessProvider>(SystemCommand{system.command, system.timeout_s});
}

std::string DeviceOf(const ProcessProvider* provider, const std::string& device) {
  if (provider == nullptr || device != "auto") return device;
  return provider->Describe().device.starts_with("cuda") ? "cuda" : "host";
}

std::vector<std::string> DtypesOf(const ProcessProvider* provider, const std::vector<std::string>& dtypes) {
  return provider == nullptr || !dtypes.empty() ? dtypes : provider->precisions();
}

void DescribeArithmetic(Workbench& bench, const std::vector<Target>& targets, SystemInfo* info) {
  if (info->protocol == 0) return;
  std::map<std::string, std::set<std::string>> models;  // by what they are computed in
  for (const Target& target : targets) {
    try {
      models[Describe(bench.ArithmeticOf(target))].insert(target.axes().Text("model"));
    } catch (const Error&) {
      continue;  // what it does not take, its cases say
    }
  }
  for (const auto& [arithmetic, names] : models) {
    if (!info->arithmetic.empty()) info->arithmetic += "; ";
    info->arithmetic += arithmetic;
    if (models.size() == 1) continue;
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    info->arithmetic += ": " + list;
  }
}

std::string WithSystem(const SystemArguments& system, const std::string& replay) {
  return system.command.empty() ? replay : replay + " --system " + Quoted(system.command);
}

int ServeCommand() {
  EngineProvider provider;
  ServeSystem(kWireDescriptor, provider);
  return kExitPass;
}

}  // namespace assay

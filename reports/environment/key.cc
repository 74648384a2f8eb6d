// What makes numbers of two runs comparable, declared field by field.
#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "reports/format/digest.h"
#include "reports/format/environment.h"

namespace assay {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

// These variables say which device is used, where files lie or what a container was built from; none of that changes a
// number. Any other CUDA_*, NVIDIA_*, CUBLAS_* or OMP_* variable may, so it is part of the key.
constexpr std::string_view kHarmlessVariables[] = {"CUDA_CACHE_PATH",
                                                   "CUDA_HOME",
                                                   "CUDA_PATH",
                                                   "CUDA_VERSION",
                                                   "CUDA_VISIBLE_DEVICES",
                                                   "NVIDIA_CUDA_END_OF_LIFE",
                                                   "NVIDIA_DRIVER_CAPABILITIES",
                                                   "NVIDIA_REQUIRE_CUDA",
                                                   "NVIDIA_VISIBLE_DEVICES"};

// A fact that is not known is left out, so it differs from one that is.
void Add(Fields* fields, std::string name, std::string value) {
  if (!value.empty()) fields->emplace_back(std::move(name), std::move(value));
}

std::string Amount(double value, const char* unit) { return value == 0 ? "" : fmt::format("{:g} {}", value, unit); }

// Of a device its model and its limits. Not its UUID, bus id and index, because a series belongs to a model of GPU; not
// the VBIOS, which differs between boards of one model; not persistence, compute mode and the PCIe link, because
// nothing timed crosses them; not other processes, which are an accident of one run.
void AddGpu(Fields* fields, std::size_t index, const GpuInfo& gpu) {
  const std::string prefix = fmt::format("gpu {} ", index);
  Add(fields, prefix + "name", gpu.name);
  Add(fields, prefix + "compute capability", gpu.compute_capability);
  // One name is sold with several sizes of memory and numbers of multiprocessors.
  Add(fields, prefix + "memory", gpu.memory_bytes == 0 ? "" : fmt::format("{} bytes", gpu.memory_bytes));
  Add(fields, prefix + "multiprocessors", gpu.sm_count == 0 ? "" : fmt::format("{}", gpu.sm_count));
  // A partition of a device is slower than the device, and error correction costs bandwidth on some models.
  Add(fields, prefix + "MIG", gpu.mig_mode);
  Add(fields, prefix + "ECC", gpu.ecc_mode);
  // A lower limit lowers the clocks of whatever needs more power.
  Add(fields, prefix + "power limit", Amount(gpu.power_limit_w, "W"));
  Add(fields, prefix + "highest SM clock", Amount(gpu.max_sm_clock_mhz, "MHz"));
  Add(fields, prefix + "highest memory clock", Amount(gpu.max_memory_clock_mhz, "MHz"));
}

}  // namespace

Fields ComparabilityFields(const Environment& environment) {
  Fields fields;
  // The host launches kernels, and computes everything in a run without a device. Not its name, because hosts of one
  // model are alike; not its memory, which differs by pages between boots; not the kernel's version, which changes with
  // every update.
  Add(&fields, "host processor", environment.host.cpu);
  Add(&fields, "host cores", environment.host.cores == 0 ? "" : fmt::format("{}", environment.host.cores));
  if (environment.cuda) {
    // The driver holds the compiler of recorded steps and schedules them; the libraries choose algorithms.
    Add(&fields, "driver", environment.cuda->driver);
    Add(&fields, "CUDA runtime", environment.cuda->runtime);
    Add(&fields, "cuBLAS", environment.cuda->cublas);
  }
  // Another program computes something else: its name, where it runs and how it rounds. Not its version, commit and
  // build, because those are what one compares. The engine of this tree adds nothing: it is the program itself.
  if (const SystemInfo& system = environment.system; system.protocol != 0) {
    Add(&fields, "system", system.name);
    Add(&fields, "system protocol", fmt::format("{}", system.protocol));
    Add(&fields, "system device", system.device);
    Add(&fields, "system arithmetic", system.arithmetic);
  }
  for (std::size_t i = 0; i < environment.gpus.size(); ++i) AddGpu(&fields, i, environment.gpus[i]);
  for (const auto& [name, value] : environment.variables) {
    const auto end = std::end(kHarmlessVariables);
    if (std::find(std::begin(kHarmlessVariables), end, name) == end) fields.emplace_back("variable " + name, value);
  }
  return fields;
}

std::string ComparabilityKey(const Environment& environment) {
  std::string text;
  for (const auto& [name, value] : ComparabilityFields(environment)) text += name + '\0' + value + '\0';
  return Sha256(text);
}

std::vector<std::string> ComparabilityDifferences(const Environment& a, const Environment& b) {
  const Fields of_a = ComparabilityFields(a), of_b = ComparabilityFields(b);
  const auto find = [](const Fields& fields, const std::string& name) {
    return std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; });
  };
  std::vector<std::string> differences;
  for (const auto& [name, value] : of_a) {
    const auto other = find(of_b, name);
    if (other == of_b.end())
      differences.push_back(fmt::format("{}: {} and nothing", name, value));
    else if (other->second != value)
      differences.push_back(fmt::format("{}: {} and {}", name, value, other->second));
  }
  for (const auto& [name, value] : of_b)
    if (find(of_a, name) == of_a.end()) differences.push_back(fmt::format("{}: nothing and {}", name, value));
  return differences;
}

}  // namespace assay

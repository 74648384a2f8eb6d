// Where and with what a run happened, typed. Collected by reports/environment; what a collector could not learn is
// empty, 0 or absent, and `unread` says why.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace assay {

struct BuildInfo {
  std::string version, commit, build_id, compiler, build_type, flags, sanitizers;
  bool dirty = false;
  std::string cuda, cuda_architectures;  // toolkit and targets; empty: built without CUDA
};

struct HostInfo {
  std::string name, cpu, os, kernel;
  std::int64_t cores = 0;
  std::int64_t memory_bytes = 0;
};

// Errors counted by the device since it was last reset.
struct EccCounts {
  std::int64_t corrected = 0, uncorrected = 0;
};

struct GpuInfo {
  int index = 0;  // CUDA's, within this process
  std::string name, uuid, bus_id, vbios;
  std::int64_t memory_bytes = 0, sm_count = 0;
  std::string compute_capability;                // "9.0"
  std::string mig_mode, ecc_mode, compute_mode;  // "disabled", "enabled", ...
  bool persistence = false;
  double power_limit_w = 0, power_limit_default_w = 0;
  double max_sm_clock_mhz = 0, max_memory_clock_mhz = 0;
  std::int64_t pcie_generation = 0, pcie_width = 0;
  std::int64_t other_processes = 0;                // compute processes beside this one when the run began
  std::optional<EccCounts> ecc_before, ecc_after;  // after: when the run ended
  std::string unread;                              // why the management library told nothing
};

// Of the libraries as loaded when the run was made, not as found when the program was built.
struct CudaRuntime {
  std::string driver;       // "580.159.04"
  std::string driver_cuda;  // newest CUDA the driver supports: "13.0"
  std::string runtime;      // "13.0"
  std::string cublas;       // "13.1.0"; empty when it was not loaded
};

// What is judged: name, version and claims as the system states them.
struct SystemInfo {
  std::string name, version, commit;
  std::string operands;     // "fp32", "bf16", ...; empty: as the dtype axis of each case says
  std::string activations;  // of quantised products: "as operands", "q8_1"
  bool claims_batch_invariance = false;
  bool claims_repeatable = false;  // the same bits from run to run
  // Of a system of another process: the version of the protocol that it was spoken to in (0: it is in this process),
  // how it was built, where it runs, and all that it declares of its roundings, by model where they differ.
  std::int64_t protocol = 0;
  std::string build{}, device{}, arithmetic{};
};

struct Environment {
  BuildInfo build;
  HostInfo host;
  std::string device_asked, device_unavailable;  // "cuda:1"; why it could not be used, or empty
  std::optional<CudaRuntime> cuda;
  std::vector<GpuInfo> gpus;                     // those used
  std::map<std::string, std::string> variables;  // CUDA_*, NVIDIA_*, CUBLAS_*, OMP_* of the process's environment
  SystemInfo system;
};

// The fields that two runs must share before their numbers may be compared: a declared list of stable facts (device
// model, limits, driver, libraries, variables, host), never a measured rate and nothing of the build. In a fixed order.
std::vector<std::pair<std::string, std::string>> ComparabilityFields(const Environment& environment);
// SHA-256 of those fields, in hexadecimal.
std::string ComparabilityKey(const Environment& environment);
// One line per field that differs: "gpu 0 power limit: 700 W and 500 W". Empty: comparable.
std::vector<std::string> ComparabilityDifferences(const Environment& a, const Environment& b);

}  // namespace assay

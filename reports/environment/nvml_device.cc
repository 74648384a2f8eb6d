#include "reports/environment/nvml_device.h"

#ifdef ASSAY_HAS_CUDA

#include <dlfcn.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include "reports/environment/nvml_interface.h"

// The header of CUDA 13 deprecates the temperature call; what follows it is unknown to drivers that are in use.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

// A function of the library by its name, with the type that the toolkit's header gives it; null when it is absent.
#define ASSAY_NVML(name) library_->Find<decltype(&::name)>(#name)

namespace assay {

struct NvmlDevice::Library {
  void* handle = ::dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
  nvmlDevice_t device = nullptr;
  nvmlEventSet_t events = nullptr;  // null: the driver does not report errors to this process

  template <class Function>
  Function Find(const char* name) const {
    return handle == nullptr ? nullptr : reinterpret_cast<Function>(::dlsym(handle, name));
  }
  template <class Function, class... Arguments>
  nvmlReturn_t Call(Function function, Arguments... arguments) const {
    if (function == nullptr) return NVML_ERROR_FUNCTION_NOT_FOUND;
    return device == nullptr ? NVML_ERROR_UNINITIALIZED : function(device, arguments...);
  }
  // Those that compute on the device.
  nvmlReturn_t Processes(std::vector<nvmlProcessInfo_t>* processes) const {
    unsigned count = 1024;
    processes->resize(count);
    const auto list =
        Find<decltype(&::nvmlDeviceGetComputeRunningProcesses_v3)>("nvmlDeviceGetComputeRunningProcesses_v3");
    const nvmlReturn_t code = Call(list, &count, processes->data());
    processes->resize(code == NVML_SUCCESS ? count : 0);
    return code;
  }
  std::string Text(nvmlReturn_t code) const {
    const auto text = Find<decltype(&::nvmlErrorString)>("nvmlErrorString");
    return text == nullptr ? fmt::format("error {}", static_cast<int>(code)) : text(code);
  }
};

NvmlDevice::NvmlDevice(const std::string& bus_id) : library_(std::make_unique<Library>()) {
  if (library_->handle == nullptr) {
    const char* const why = ::dlerror();
    unread_ = why == nullptr ? "libnvidia-ml.so.1 is absent" : why;
    return;
  }
  const auto init = ASSAY_NVML(nvmlInit_v2);
  const auto find = ASSAY_NVML(nvmlDeviceGetHandleByPciBusId_v2);
  if (init == nullptr || find == nullptr) {
    unread_ = "libnvidia-ml.so.1 lacks nvmlInit_v2 or nvmlDeviceGetHandleByPciBusId_v2";
    return;
  }
  nvmlReturn_t code = init();
  if (code == NVML_SUCCESS) code = find(bus_id.c_str(), &library_->device);
  if (code == NVML_SUCCESS) return;
  library_->device = nullptr;
  unread_ = fmt::format("device {}: {}", bus_id, library_->Text(code));
}

void NvmlDevice::WatchErrors() {
  const auto create = ASSAY_NVML(nvmlEventSetCreate);
  if (library_->device == nullptr || create == nullptr || create(&library_->events) != NVML_SUCCESS) {
    library_->events = nullptr;
  } else if (library_->Call(ASSAY_NVML(nvmlDeviceRegisterEvents), nvmlEventTypeXidCriticalError, library_->events) !=
             NVML_SUCCESS) {
    FreeEvents();
  }
}

void NvmlDevice::FreeEvents() {
  const auto release = ASSAY_NVML(nvmlEventSetFree);
  if (library_->events != nullptr && release != nullptr) release(library_->events);
  library_->events = nullptr;
}

NvmlDevice::~NvmlDevice() { FreeEvents(); }

namespace {

constexpr unsigned long long kNotTold = ~0ull;  // the library's -1

bool IsThisProcess(const nvmlProcessInfo_t& process) { return process.pid == static_cast<unsigned>(::getpid()); }

const char* Name(nvmlEnableState_t state) { return state == NVML_FEATURE_ENABLED ? "enabled" : "disabled"; }

const char* Name(nvmlComputeMode_t mode) {
  switch (mode) {
    case NVML_COMPUTEMODE_DEFAULT:
      return "default";
    case NVML_COMPUTEMODE_EXCLUSIVE_PROCESS:
      return "exclusive process";
    case NVML_COMPUTEMODE_PROHIBITED:
      return "prohibited";
    default:
      return "other";
  }
}

// Names what was refused, in the order asked.
class Refusals {
 public:
  bool Read(const char* what, nvmlReturn_t code) {
    if (code == NVML_SUCCESS) return true;
    text_ += fmt::format("{}{} ({})", text_.empty() ? "not read: " : ", ", what, static_cast<int>(code));
    return false;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

}  // namespace

void NvmlDevice::Describe(GpuInfo* info) const {
  Refusals refusals;
  const auto read = [&](const char* what, auto function, auto... out) {
    return refusals.Read(what, library_->Call(function, out...));
  };
  constexpr double kMilli = 1e-3;
  std::array<char, NVML_DEVICE_UUID_V2_BUFFER_SIZE> text{};
  const auto size = static_cast<unsigned>(text.size());
  if (read("name", ASSAY_NVML(nvmlDeviceGetName), text.data(), size)) info->name = text.data();
  if (read("uuid", ASSAY_NVML(nvmlDeviceGetUUID), text.data(), size)) info->uuid = text.data();
  if (read("vbios", ASSAY_NVML(nvmlDeviceGetVbiosVersion), text.data(), size)) info->vbios = text.data();
  nvmlMemory_t memory{};
  if (read("memory", ASSAY_NVML(nvmlDeviceGetMemoryInfo), &memory))
    info->memory_bytes = static_cast<std::int64_t>(memory.total);
  unsigned value = 0, pending = 0;
  if (read("MIG", ASSAY_NVML(nvmlDeviceGetMigMode), &value, &pending))
    info->mig_mode = value == NVML_DEVICE_MIG_ENABLE ? "enabled" : "disabled";
  nvmlEnableState_t state{}, pending_state{};
  if (read("ECC", ASSAY_NVML(nvmlDeviceGetEccMode), &state, &pending_state)) info->ecc_mode = Name(state);
  if (read("persistence", ASSAY_NVML(nvmlDeviceGetPersistenceMode), &state))
    info->persistence = state == NVML_FEATURE_ENABLED;
  nvmlComputeMode_t mode{};
  if (read("compute mode", ASSAY_NVML(nvmlDeviceGetComputeMode), &mode)) info->compute_mode = Name(mode);
  if (read("power limit", ASSAY_NVML(nvmlDeviceGetEnforcedPowerLimit), &value)) info->power_limit_w = kMilli * value;
  if (read("default power limit", ASSAY_NVML(nvmlDeviceGetPowerManagementDefaultLimit), &value))
    info->power_limit_default_w = kMilli * value;
  const auto highest = ASSAY_NVML(nvmlDeviceGetMaxClockInfo);
  if (read("highest SM clock", highest, NVML_CLOCK_SM, &value)) info->max_sm_clock_mhz = value;
  if (read("highest memory clock", highest, NVML_CLOCK_MEM, &value)) info->max_memory_clock_mhz = value;
  // Of the slot and the device together; the link itself slows down when it is idle.
  if (read("PCIe generation", ASSAY_NVML(nvmlDeviceGetMaxPcieLinkGeneration), &value)) info->pcie_generation = value;
  if (read("PCIe width", ASSAY_NVML(nvmlDeviceGetMaxPcieLinkWidth), &value)) info->pcie_width = value;
  std::vector<nvmlProcessInfo_t> processes;
  if (refusals.Read("processes", library_->Processes(&processes)))
    info->other_processes = std::count_if(processes.begin(), processes.end(), std::not_fn(IsThisProcess));
  info->unread = refusals.text();
}

std::optional<std::int64_t> NvmlDevice::ProcessMemory() const {
  std::vector<nvmlProcessInfo_t> processes;
  library_->Processes(&processes);
  const auto own = std::find_if(processes.begin(), processes.end(), IsThisProcess);
  if (own == processes.end() || own->usedGpuMemory == kNotTold) return std::nullopt;
  return static_cast<std::int64_t>(own->usedGpuMemory);
}

std::string NvmlDevice::DriverVersion() const {
  std::array<char, NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE> text{};
  const auto version = ASSAY_NVML(nvmlSystemGetDriverVersion);
  if (version == nullptr || version(text.data(), static_cast<unsigned>(text.size())) != NVML_SUCCESS) return "";
  return text.data();
}

std::optional<EccCounts> NvmlDevice::Ecc() const {
  const auto total = ASSAY_NVML(nvmlDeviceGetTotalEccErrors);
  unsigned long long corrected = 0, uncorrected = 0;
  if (library_->Call(total, NVML_MEMORY_ERROR_TYPE_CORRECTED, NVML_VOLATILE_ECC, &corrected) != NVML_SUCCESS ||
      library_->Call(total, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC, &uncorrected) != NVML_SUCCESS)
    return std::nullopt;
  return EccCounts{static_cast<std::int64_t>(corrected), static_cast<std::int64_t>(uncorrected)};
}

std::optional<std::int64_t> NvmlDevice::FreeMemory() const {
  nvmlMemory_t memory{};
  if (library_->Call(ASSAY_NVML(nvmlDeviceGetMemoryInfo), &memory) != NVML_SUCCESS) return std::nullopt;
  return static_cast<std::int64_t>(memory.free);
}

NvmlDevice::Moment NvmlDevice::Now() const {
  Moment now;
  const auto read = [&](std::optional<double>* out, double unit, auto function, auto... which) {
    unsigned value = 0;
    if (library_->Call(function, which..., &value) == NVML_SUCCESS) *out = unit * value;
  };
  const auto clock = ASSAY_NVML(nvmlDeviceGetClockInfo);
  read(&now.sm_clock_mhz, 1, clock, NVML_CLOCK_SM);
  read(&now.memory_clock_mhz, 1, clock, NVML_CLOCK_MEM);
  read(&now.power_w, 1e-3, ASSAY_NVML(nvmlDeviceGetPowerUsage));
  read(&now.temperature_c, 1, ASSAY_NVML(nvmlDeviceGetTemperature), NVML_TEMPERATURE_GPU);
  // Older drivers know the call by its older name only.
  auto reasons = ASSAY_NVML(nvmlDeviceGetCurrentClocksEventReasons);
  if (reasons == nullptr) reasons = ASSAY_NVML(nvmlDeviceGetCurrentClocksThrottleReasons);
  unsigned long long bits = 0;
  if (library_->Call(reasons, &bits) == NVML_SUCCESS) now.throttle_reasons = bits;
  const auto wait = ASSAY_NVML(nvmlEventSetWait_v2);
  nvmlEventData_t event{};
  while (library_->events != nullptr && wait != nullptr && wait(library_->events, &event, 0) == NVML_SUCCESS)
    now.xids.push_back(static_cast<std::int64_t>(event.eventData));
  return now;
}

}  // namespace assay

#else

namespace assay {

struct NvmlDevice::Library {};

NvmlDevice::NvmlDevice(const std::string&) { unread_ = "built without CUDA"; }
NvmlDevice::~NvmlDevice() = default;
void NvmlDevice::WatchErrors() {}
void NvmlDevice::Describe(GpuInfo*) const {}
std::string NvmlDevice::DriverVersion() const { return ""; }
std::optional<EccCounts> NvmlDevice::Ecc() const { return std::nullopt; }
std::optional<std::int64_t> NvmlDevice::FreeMemory() const { return std::nullopt; }
std::optional<std::int64_t> NvmlDevice::ProcessMemory() const { return std::nullopt; }
NvmlDevice::Moment NvmlDevice::Now() const { return {}; }

}  // namespace assay

#endif

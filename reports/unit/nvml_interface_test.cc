// The own declarations of the management library against the toolkit's header, where that is installed.
#if __has_include(<nvml.h>)

#include <nvml.h>

#include <cstddef>
#include <type_traits>

namespace toolkit {
using Device = nvmlDevice_t;
inline constexpr int kValues[] = {NVML_SUCCESS,
                                  NVML_ERROR_UNINITIALIZED,
                                  NVML_ERROR_FUNCTION_NOT_FOUND,
                                  NVML_FEATURE_ENABLED,
                                  NVML_COMPUTEMODE_DEFAULT,
                                  NVML_COMPUTEMODE_PROHIBITED,
                                  NVML_COMPUTEMODE_EXCLUSIVE_PROCESS,
                                  NVML_CLOCK_SM,
                                  NVML_CLOCK_MEM,
                                  NVML_TEMPERATURE_GPU,
                                  NVML_MEMORY_ERROR_TYPE_CORRECTED,
                                  NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
                                  NVML_VOLATILE_ECC,
                                  NVML_DEVICE_MIG_ENABLE,
                                  nvmlEventTypeXidCriticalError};
}  // namespace toolkit

namespace {
// What reports/environment/nvml_interface.h declares, in the order above.
constexpr int kOwn[] = {0, 1, 13, 1, 0, 2, 3, 1, 2, 0, 0, 1, 0, 1, 8};
static_assert([] {
  for (std::size_t i = 0; i < sizeof kOwn / sizeof kOwn[0]; ++i)
    if (kOwn[i] != toolkit::kValues[i]) return false;
  return true;
}());
static_assert(std::is_pointer_v<toolkit::Device>);
static_assert(sizeof(nvmlMemory_t) == 24 && sizeof(nvmlProcessInfo_t) == 24);
static_assert(offsetof(nvmlProcessInfo_t, usedGpuMemory) == 8 && offsetof(nvmlProcessInfo_t, gpuInstanceId) == 16);
static_assert(sizeof(nvmlEventData_t) == 32 && offsetof(nvmlEventData_t, eventData) == 16);
static_assert(NVML_DEVICE_UUID_V2_BUFFER_SIZE == 96 && NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE == 80);
}  // namespace

#endif

#include "engine/base/device.h"

#include <charconv>

namespace assay {

Device Device::FromName(const std::string& name) {
  if (name == "host") return Host();
  if (name == "cuda") return Cuda();
  const std::string prefix = "cuda:";
  if (name.starts_with(prefix)) {
    int index = -1;
    const char *const first = name.data() + prefix.size(), *const end = name.data() + name.size();
    const auto [read, error] = std::from_chars(first, end, index);
    if (error == std::errc() && read == end && index >= 0) return Cuda(index);
  }
  Throw("device '{}': expected host, cuda, or cuda:N with N the index of a device", name);
}

std::string Device::name() const { return on_host() ? "host" : fmt::format("cuda:{}", index); }
std::string Device::kind_name() const { return on_host() ? "host" : "cuda"; }

Support IsAmong(const Device& device, int cuda_devices) {
  if (device.on_host() || (device.index >= 0 && device.index < cuda_devices)) return Support::Yes();
  const std::string indices = cuda_devices > 1    ? fmt::format(" (0..{})", cuda_devices - 1)
                              : cuda_devices == 1 ? " (0)"
                                                  : "";
  return Support::No("{}: this machine has {} CUDA device{}{}", device.name(), cuda_devices,
                     cuda_devices == 1 ? "" : "s", indices);
}

}  // namespace assay

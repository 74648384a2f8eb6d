// The device an engine computes on, as everybody names it: the host, or one of the machine's CUDA devices by its index.
#pragma once

#include <string>

#include "engine/base/check.h"
namespace assay {

struct Device {
  enum class Kind { kHost, kCuda };
  Kind kind = Kind::kHost;
  int index = 0;  // of kind kCuda: CUDA's own numbering of the devices it shows to this process; of the host: 0

  static Device Host() { return {}; }
  static Device Cuda(int index = 0) { return {Kind::kCuda, index}; }
  // "host", "cuda" (the same as "cuda:0") or "cuda:1". Throws InputError for any other text, with what was expected.
  static Device FromName(const std::string& name);

  bool on_host() const { return kind == Kind::kHost; }
  std::string name() const;       // "host", "cuda:0"
  std::string kind_name() const;  // "host", "cuda"
  friend bool operator==(const Device&, const Device&) = default;
};

// Whether `device` is the host or one of `cuda_devices` devices; the reason when not: "cuda:9: this machine has 2 CUDA
// devices (0..1)".
Support IsAmong(const Device& device, int cuda_devices);

}  // namespace assay

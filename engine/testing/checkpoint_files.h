// Small checkpoint folders for loader tests: written, read back, removed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/half.h"
#include "engine/testing/scratch_folder.h"

namespace assay {

// The bytes of a safetensors file with this header text and data.
inline std::string SafetensorsBytes(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
  return bytes + header + data;
}

struct TestTensor {
  std::string name;
  std::vector<std::int64_t> shape;
  std::vector<float> values;  // stored as BF16; empty: zeros
};

inline std::string SafetensorsBytes(const std::vector<TestTensor>& tensors) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}", data;
  for (const TestTensor& tensor : tensors) {
    std::int64_t count = 1;
    std::string shape;
    for (const std::int64_t size : tensor.shape) {
      count *= size;
      shape += (shape.empty() ? "" : ",") + std::to_string(size);
    }
    const std::size_t begin = data.size();
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint16_t bits = ToBF16(tensor.values.empty() ? 0.0f : tensor.values.at(i)).bits;
      data += static_cast<char>(bits & 0xff);
      data += static_cast<char>(bits >> 8);
    }
    header += ",\"" + tensor.name + "\":{\"dtype\":\"BF16\",\"shape\":[" + shape + "],\"data_offsets\":[" +
              std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
  }
  return SafetensorsBytes(header + "}", data);
}

}  // namespace assay

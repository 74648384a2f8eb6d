// A GGUF file taken apart, so that tests can change one thing and put it together again. Reading trusts its input: it
// is for the fixtures only, and shares no code with the reader under test.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/tensor.h"

namespace assay {

struct GgufImage {
  struct Field {
    std::string key;
    std::uint32_t type = 0;  // GGUF value type; 9 = array
    std::string payload;     // the value's bytes as in the file
  };
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;  // fastest first
    std::uint32_t type = 0;           // ggml type id
    std::string data;
    std::optional<std::uint64_t> offset;  // instead of the next aligned one
  };

  std::uint32_t version = 3;
  std::vector<Field> fields;
  std::vector<Tensor> tensors;
  std::uint64_t alignment = 32;
  std::optional<std::uint64_t> tensor_count, field_count;  // instead of the true ones

  static GgufImage Read(const std::string& path);

  // The file's bytes; `boundaries` receives the position after every field of the header, the last being the data's
  // start.
  std::string Bytes(std::vector<std::size_t>* boundaries = nullptr) const;

  Field& At(const std::string& key);  // throws when absent
  Tensor& TensorAt(const std::string& name);
  void Drop(const std::string& name_or_key);
  // Sets or adds a scalar or an array of numbers, stored as GGUF type `type`.
  void Set(const std::string& key, std::uint32_t type, const std::vector<double>& values, bool array = false);
  void SetString(const std::string& key, const std::string& value);
  void SetStrings(const std::string& key, const std::vector<std::string>& values);
  // Replaces an F32 tensor's data by the same values in another type.
  void Convert(const std::string& name, DType type);
  // Renames the architecture: its value and the prefix of its keys.
  void Rename(const std::string& architecture);
};

}  // namespace assay

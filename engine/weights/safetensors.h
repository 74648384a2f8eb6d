// One safetensors file: a u64 header length, a JSON header, then the tensors' bytes without gaps.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/weights/input_file.h"

namespace assay {

struct SafetensorsEntry {
  std::string name;
  std::string_view type_name;       // "BF16", as the format spells it
  std::optional<DType> type;        // nothing when the engine has no such type (I64, F8_E4M3, ...)
  std::vector<std::int64_t> shape;  // row-major; empty for a scalar
  std::uint64_t offset = 0;         // in the file
  std::uint64_t bytes = 0;
};

// Opening reads the header only. Enforced, as by the format's reference reader: header length <= 100,000,000 and within
// the file, header begins with '{', known types, shape x type = byte range without overflow, ranges contiguous from the
// header's end to the file's; besides, no duplicate names or keys. Throws InputError naming file, tensor, expected and
// found.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);

  const InputFile& file() const { return *file_; }
  const std::shared_ptr<const InputFile>& shared_file() const { return file_; }
  std::uint64_t header_bytes() const { return header_bytes_; }               // the length word included
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }  // by offset
  const SafetensorsEntry* Find(const std::string& name) const;               // null when absent

 private:
  void CheckLayout();

  std::shared_ptr<const InputFile> file_;
  std::uint64_t header_bytes_ = 0;
  std::vector<SafetensorsEntry> entries_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
};

}  // namespace assay

// The container half of GGUF (versions 2 and 3, little-endian): metadata and tensor directory of one file, checked
// before anything is allocated for what they claim. Knows nothing of models. Format: docs/gguf.md of ggml; the limits
// enforced here are listed at the constants of gguf_reader.cc.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/weights/input_file.h"

namespace assay {

enum class GgufType : std::uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// Where a value lies in the file. Nothing of it is kept in memory: a vocabulary is read only by who asks for it.
struct GgufValue {
  GgufType type{};  // of the elements, when is_array
  bool is_array = false;
  std::uint64_t count = 1;   // elements
  std::uint64_t offset = 0;  // of the first element; of the length word when strings
};

struct GgufTensor {
  std::string name;
  DType type = DType::kF32;
  int rank = 0;
  std::array<std::int64_t, 4> dims{1, 1, 1, 1};  // fastest first; 1 beyond rank
  std::uint64_t offset = 0;                      // in the file
  std::size_t bytes = 0;
  std::size_t part = 0;  // which file of a split model
};

// Immutable once opened; reads are thread-safe. Memory: at most a few times the header's bytes.
class GgufFile {
 public:
  // Throws InputError naming the file, the field and what was found when the file is not GGUF, of another version or
  // byte order, a later part of a split model, truncated, or contradicts itself (duplicate names, overlapping tensors,
  // ...).
  // A model split into files (name-00001-of-00003.gguf) is opened by its first part, which holds the metadata.
  explicit GgufFile(const std::string& path);

  const std::string& path() const { return file_->path(); }
  const InputFile& file() const { return *file_; }
  const InputFile& file(const GgufTensor& tensor) const { return *parts_[tensor.part]; }
  const std::vector<std::shared_ptr<const InputFile>>& parts() const { return parts_; }  // this file first
  std::uint64_t data_start() const { return data_start_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in file order
  const GgufTensor* Find(std::string_view name) const;                 // null when absent
  const GgufTensor& Tensor(std::string_view name) const;               // throws InputError when absent

  // Null when absent. Asking counts as reading: see UnreadKeys.
  const GgufValue* Value(std::string_view key) const;
  std::vector<std::string> Keys() const;                                      // sorted
  bool WasRead(const std::string& key) const { return read_.contains(key); }  // while it was opened; not thread-safe
  // Each throws InputError naming key, expected and found when the key is absent or of another kind. Integers may be
  // stored in any width and sign and bools as integers; Reals accepts f32 and f64 (integers too); scalars count as
  // arrays of one. At most `limit` elements are accepted.
  std::vector<std::int64_t> Integers(std::string_view key, std::uint64_t limit) const;
  std::vector<double> Reals(std::string_view key, std::uint64_t limit) const;
  std::string String(std::string_view key) const;

 private:
  class Cursor;
  GgufFile(const std::string& path, std::size_t part);
  std::size_t PartCount() const;
  void JoinParts();
  void ReadValue(Cursor& in, const std::string& key);
  void ReadTensor(Cursor& in, std::uint64_t index);
  void PlaceTensors(std::uint64_t header_end);
  const GgufValue& Bounded(std::string_view key, std::uint64_t limit) const;

  std::shared_ptr<const InputFile> file_;
  std::vector<std::shared_ptr<const InputFile>> parts_;
  std::uint64_t data_start_ = 0;
  std::vector<GgufTensor> tensors_;
  // Transparent lookup is not worth a custom hash: keys are few and asked for once.
  std::unordered_map<std::string, GgufValue> values_;
  std::unordered_map<std::string, std::size_t> tensor_index_;
  mutable std::set<std::string> read_;
};

}  // namespace assay

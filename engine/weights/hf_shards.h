// The safetensors files of a Hugging Face folder as one directory of tensors. For .cc files of this room.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/weights/safetensors.h"

namespace assay {

// One stored tensor: which shard and which entry.
struct ShardPlace {
  const SafetensorsFile* shard;
  const SafetensorsEntry* entry;
};

// Byte for byte, in pieces, up to the first difference.
bool SameBytes(const ShardPlace& a, const ShardPlace& b);

// The shards of a folder and which tensor is in which.
class Shards {
 public:
  // Throws InputError naming the file when there is neither an index nor a single file, or when one is malformed.
  explicit Shards(const std::string& folder);

  const ShardPlace* Find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &found->second;
  }
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return shards_; }
  // Tensors that the index lists in a shard which does not hold them, with that shard. Published indexes do that; only
  // a tensor that the decoder needs is missed.
  const std::map<std::string, std::string>& absent() const { return absent_; }

 private:
  void ReadIndex(const std::string& folder, const std::string& path);

  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::unordered_map<std::string_view, ShardPlace> by_name_;
  std::map<std::string, std::string> absent_;
};

}  // namespace assay

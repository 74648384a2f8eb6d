#include "engine/weights/hf_shards.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "engine/base/check.h"
#include "engine/text/foreign.h"
#include "engine/text/json.h"
#include "engine/weights/strict_json.h"

namespace assay {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";
constexpr std::size_t kMaxShards = 512;  // each holds a file descriptor
constexpr JsonLimits kIndexLimits{.bytes = std::size_t{16} << 20, .depth = 8};

bool IsPlainShardName(const std::string& name) {
  constexpr std::string_view kSuffix = ".safetensors";
  return name.size() > kSuffix.size() && name.size() <= 255 && name.ends_with(kSuffix) && name[0] != '.' &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos && name.find("..") == std::string::npos;
}

}  // namespace

bool SameBytes(const ShardPlace& a, const ShardPlace& b) {
  constexpr std::uint64_t kPiece = std::uint64_t{4} << 20;
  if (a.entry->type != b.entry->type || a.entry->shape != b.entry->shape) return false;
  std::vector<std::byte> left, right;
  for (std::uint64_t at = 0; at < a.entry->bytes; at += kPiece) {
    const std::uint64_t now = std::min<std::uint64_t>(kPiece, a.entry->bytes - at);
    left.resize(now), right.resize(now);
    a.shard->file().Read(left, a.entry->offset + at, a.entry->name);
    b.shard->file().Read(right, b.entry->offset + at, b.entry->name);
    if (left != right) return false;
  }
  return true;
}

Shards::Shards(const std::string& folder) {
  const fs::path index = fs::path(folder) / kIndexName;
  if (std::error_code error; fs::exists(index, error)) {
    ReadIndex(folder, index.string());
  } else {
    const fs::path single = fs::path(folder) / kSingleName;
    Require(fs::exists(single, error), "{}: neither {} nor {} is there", folder, kIndexName, kSingleName);
    shards_.push_back(std::make_unique<SafetensorsFile>(single.string()));
    for (const SafetensorsEntry& entry : shards_[0]->entries())
      by_name_.emplace(entry.name, ShardPlace{shards_[0].get(), &entry});
  }
}

void Shards::ReadIndex(const std::string& folder, const std::string& path) {
  const json index = ReadJsonFile(path, kIndexLimits);
  Require(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
          "{}: expected an object with the key weight_map", path);
  std::map<std::string, const SafetensorsFile*> opened;
  for (const auto& item : index["weight_map"].items()) {
    Require(item.value().is_string(), "{}: weight_map: '{}' is not mapped to a file name", path,
            ForMessage(item.key()));
    const auto& name = item.value().get_ref<const std::string&>();
    const SafetensorsFile*& shard = opened[name];
    if (shard == nullptr) {
      Require(IsPlainShardName(name),
              "{}: weight_map: '{}' is not the plain name of a .safetensors file in this folder", path,
              ForMessage(name));
      Require(opened.size() <= kMaxShards, "{}: more than {} shards", path, kMaxShards);
      shards_.push_back(std::make_unique<SafetensorsFile>((fs::path(folder) / name).string()));
      shard = shards_.back().get();
    }
    if (const SafetensorsEntry* entry = shard->Find(item.key()); entry != nullptr) {
      by_name_.emplace(entry->name, ShardPlace{shard, entry});
    } else {
      absent_.emplace(item.key(), name);
    }
  }
  Require(!shards_.empty(), "{}: weight_map is empty", path);
}

}  // namespace assay

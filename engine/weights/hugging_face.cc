#include "engine/weights/hugging_face.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "engine/base/check.h"
#include "engine/model/families.h"
#include "engine/weights/digest.h"
#include "engine/weights/hf_config.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/strict_json.h"

namespace assay {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr const char* kSingleName = "model.safetensors";
constexpr std::size_t kMaxShards = 512;  // each holds a file descriptor
constexpr JsonLimits kIndexLimits{std::size_t{16} << 20, 8, 250000};
// The text model's tensors begin with one of these; the first under which the embedding is found is taken.
constexpr const char* kPrefixes[] = {"model.language_model.", "language_model.model.", "model.", ""};

// One stored tensor: which shard and which entry.
struct Place {
  const SafetensorsFile* shard;
  const SafetensorsEntry* entry;
};
// Where a catalogue tensor's bytes are: one place, or one per expert (gate, then up), in the order they are joined.
using Places = std::vector<Place>;

bool IsPlainShardName(const std::string& name) {
  constexpr std::string_view kSuffix = ".safetensors";
  return name.size() > kSuffix.size() && name.size() <= 255 && name.ends_with(kSuffix) && name[0] != '.' &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos && name.find("..") == std::string::npos;
}

std::string ShapeText(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

// The shapes under which a file may hold an entry. Vectors have one dimension, a single number may be a scalar.
bool ShapeFits(const std::vector<std::int64_t>& found, const std::vector<std::int64_t>& expected) {
  return found == expected || (found.empty() && expected == std::vector<std::int64_t>{1});
}

std::vector<std::int64_t> FileShape(const TensorEntry& entry) {
  switch (entry.key.role) {
    case Role::kExpertGateUp:
    case Role::kExpertDown:
      return {entry.experts, entry.rows, entry.cols};
    // Matrices even when the model is so small that they have one row.
    case Role::kEmbed:
    case Role::kHead:
    case Role::kPleEmbed:
    case Role::kPleProject:
    case Role::kQuery:
    case Role::kKey:
    case Role::kValue:
    case Role::kAttnOut:
    case Role::kGate:
    case Role::kUp:
    case Role::kDown:
    case Role::kRouter:
    case Role::kPleGate:
    case Role::kPleOut:
      return {entry.rows, entry.cols};
    default:
      return {entry.cols};
  }
}

bool IsNorm(Role role) {
  switch (role) {
    case Role::kFinalNorm:
    case Role::kPleProjectNorm:
    case Role::kAttnNorm:
    case Role::kQueryNorm:
    case Role::kKeyNorm:
    case Role::kPostAttnNorm:
    case Role::kFfnNorm:
    case Role::kPostFfnNorm:
    case Role::kPreExpertNorm:
    case Role::kPostDenseNorm:
    case Role::kPostExpertNorm:
    case Role::kPostPleNorm:
      return true;
    default:
      return false;
  }
}

// The shards of a folder and which tensor is in which.
class Shards {
 public:
  explicit Shards(const std::string& folder) {
    const fs::path index = fs::path(folder) / kIndexName;
    if (std::error_code error; fs::exists(index, error)) {
      ReadIndex(folder, index.string());
    } else {
      const fs::path single = fs::path(folder) / kSingleName;
      Require(fs::exists(single, error), "{}: neither {} nor {} is there", folder, kIndexName, kSingleName);
      shards_.push_back(std::make_unique<SafetensorsFile>(single.string()));
      for (const SafetensorsEntry& entry : shards_[0]->entries())
        by_name_.emplace(entry.name, Place{shards_[0].get(), &entry});
    }
  }

  const Place* Find(const std::string& name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : &found->second;
  }
  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return shards_; }

 private:
  void ReadIndex(const std::string& folder, const std::string& path) {
    const json index = ReadJsonFile(path, kIndexLimits);
    Require(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(),
            "{}: expected an object with the key weight_map", path);
    std::map<std::string, const SafetensorsFile*> opened;
    for (const auto& item : index["weight_map"].items()) {
      Require(item.value().is_string(), "{}: weight_map: '{}' is not mapped to a file name", path,
              ShortComplaint(item.key()));
      const auto& name = item.value().get_ref<const std::string&>();
      const SafetensorsFile*& shard = opened[name];
      if (shard == nullptr) {
        Require(IsPlainShardName(name),
                "{}: weight_map: '{}' is not the plain name of a .safetensors file in this folder", path,
                ShortComplaint(name));
        Require(opened.size() <= kMaxShards, "{}: more than {} shards", path, kMaxShards);
        shards_.push_back(std::make_unique<SafetensorsFile>((fs::path(folder) / name).string()));
        shard = shards_.back().get();
      }
      const SafetensorsEntry* entry = shard->Find(item.key());
      Require(entry != nullptr, "{}: weight_map: tensor '{}' is not in {}", path, ShortComplaint(item.key()),
              ShortComplaint(name));
      by_name_.emplace(entry->name, Place{shard, entry});
    }
    Require(!shards_.empty(), "{}: weight_map is empty", path);
  }

  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::unordered_map<std::string_view, Place> by_name_;
};

std::string ReadText(const std::string& path, std::size_t limit) {
  const auto file = InputFile::Open(path);
  Require(file->size() <= limit, "{}: {} bytes, at most {} are accepted", path, file->size(), limit);
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  file->Read(std::as_writable_bytes(std::span(text.data(), text.size())), 0, "text");
  return text;
}

class HuggingFaceStore final : public WeightStore {
 public:
  explicit HuggingFaceStore(const std::string& folder) : config_path_((fs::path(folder) / "config.json").string()) {
    config_text_ = ReadText(config_path_, JsonLimits{}.bytes);
    // Refused by name before any weights are looked for; what depends on the embedding's size waits.
    shards_.emplace(folder);
    prefix_ = FindPrefix(folder);
    fs::path name = fs::path(folder).lexically_normal();
    if (!name.has_filename()) name = name.parent_path();
    spec_ = SpecFromHfConfig(config_text_, config_path_, name.filename().string(), EmbeddingRows());
    for (const TensorEntry& entry : Catalogue(spec_)) Locate(entry, folder);
  }

  const ModelSpec& spec() const override { return spec_; }
  bool Has(TensorKey key) const override { return located_.contains(key); }
  std::string format() const override { return "safetensors"; }
  HostTensor Load(TensorKey key, bool recipe_only) const override;
  std::vector<StoredTensorInfo> Listing() const override;
  std::string Identity() const override;

 private:
  struct Located {
    TensorEntry entry;
    Places places;
  };

  std::string FindPrefix(const std::string& folder) const;
  std::optional<int> EmbeddingRows() const;
  void Locate(const TensorEntry& entry, const std::string& folder);
  Places FindPlaces(const TensorEntry& entry) const;
  Places FindExperts(const TensorEntry& entry) const;
  const Place* FindNamed(const std::string& name) const;
  HostTensor PlusOne(const HostTensor& tensor) const;

  std::string config_path_, config_text_;
  std::optional<Shards> shards_;
  std::string prefix_;
  ModelSpec spec_;
  std::map<TensorKey, Located> located_;
};

std::string HuggingFaceStore::FindPrefix(const std::string& folder) const {
  std::string tried;
  for (const char* prefix : kPrefixes) {
    const std::string name = std::string(prefix) + "embed_tokens.weight";
    if (shards_->Find(name) != nullptr) return prefix;
    tried += (tried.empty() ? "" : ", ") + name;
  }
  // An architecture that is not supported explains it better than a missing name.
  SpecFromHfConfig(config_text_, config_path_, folder, 1);
  Throw("{}: no token embedding: none of {} is there", folder, tried);
}

std::optional<int> HuggingFaceStore::EmbeddingRows() const {
  const Place* place = shards_->Find(prefix_ + "embed_tokens.weight");
  const std::vector<std::int64_t>& shape = place->entry->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[0] > INT_MAX) return std::nullopt;
  return static_cast<int>(shape[0]);
}

// The head stands outside of the text model's prefix in most files.
const Place* HuggingFaceStore::FindNamed(const std::string& name) const {
  if (const Place* place = shards_->Find(prefix_ + name)) return place;
  if (name != "lm_head.weight") return nullptr;
  for (const char* head : {"lm_head.weight", "language_model.lm_head.weight"})
    if (const Place* place = shards_->Find(head)) return place;
  return nullptr;
}

Places HuggingFaceStore::FindPlaces(const TensorEntry& entry) const {
  for (const std::string& name : HuggingFaceNames(spec_, entry.key))
    if (const Place* place = FindNamed(name)) return {*place};
  return entry.experts > 1 || entry.key.role == Role::kExpertGateUp || entry.key.role == Role::kExpertDown
             ? FindExperts(entry)
             : Places{};
}

// experts.<e>.{gate,up,down}_proj.weight, as some re-exports split the fused tensors.
Places HuggingFaceStore::FindExperts(const TensorEntry& entry) const {
  const bool down = entry.key.role == Role::kExpertDown;
  const std::vector<std::int64_t> expected{down ? entry.rows : entry.rows / 2, entry.cols};
  Places places;
  for (std::int64_t e = 0; e < entry.experts; ++e) {
    for (const char* part : {"gate", "up", "down"}) {
      if ((std::string_view(part) == "down") != down) continue;
      const std::string name = fmt::format("layers.{}.experts.{}.{}_proj.weight", entry.key.layer, e, part);
      const Place* place = FindNamed(name);
      if (place == nullptr && places.empty()) return {};
      Require(place != nullptr, "{}: tensor '{}{}' is missing, other experts are there", config_path_, prefix_, name);
      Require(
          place->entry->shape == expected && place->entry->type == (places.empty() ? place : &places[0])->entry->type,
          "{}: tensor '{}': expected {} of the type of the other experts, found {} {}", place->shard->file().path(),
          place->entry->name, ShapeText(expected), place->entry->type_name, ShapeText(place->entry->shape));
      places.push_back(*place);
    }
  }
  return places;
}

void HuggingFaceStore::Locate(const TensorEntry& entry, const std::string& folder) {
  Places places = FindPlaces(entry);
  if (places.empty()) {
    std::string tried;
    for (const std::string& name : HuggingFaceNames(spec_, entry.key))
      tried += (tried.empty() ? "" : " or ") + prefix_ + name;
    Require(!entry.required, "{}: {} is missing: no tensor {} of shape {}", folder, Name(entry.key), tried,
            ShapeText(FileShape(entry)));
    return;
  }
  for (const Place& place : places) {
    const std::optional<DType> type = place.entry->type;
    Require(type == DType::kF32 || type == DType::kF16 || type == DType::kBF16,
            "{}: tensor '{}': type {} is not supported, expected F32, F16 or BF16", place.shard->file().path(),
            place.entry->name, place.entry->type_name);
  }
  if (places.size() == 1)
    Require(ShapeFits(places[0].entry->shape, FileShape(entry)) || entry.experts * entry.rows * entry.cols == 0 ||
                (entry.key.role == Role::kExpertDown && entry.experts == 1 &&
                 ShapeFits(places[0].entry->shape, {entry.rows, entry.cols})),
            "{}: tensor '{}' ({}): expected shape {}, found {}", places[0].shard->file().path(), places[0].entry->name,
            Name(entry.key), ShapeText(FileShape(entry)), ShapeText(places[0].entry->shape));
  located_.emplace(entry.key, Located{entry, std::move(places)});
}

HostTensor HuggingFaceStore::Load(TensorKey key, bool) const {
  const auto found = located_.find(key);
  Require(found != located_.end(), "{}: there is no tensor for {}", config_path_, Name(key));
  const auto& [entry, places] = found->second;
  HostTensor tensor;
  tensor.type = *places[0].entry->type;
  tensor.experts = entry.experts;
  tensor.rows = entry.rows;
  tensor.cols = entry.cols;
  tensor.where = places[0].shard->file().path() + ": " + places[0].entry->name;
  for (const Place& place : places) tensor.bytes += place.entry->bytes;
  if (places.size() == 1) {
    tensor.data = places[0].shard->file().ReadBlock(places[0].entry->offset, tensor.bytes, places[0].entry->name);
  } else {
    const std::shared_ptr<std::byte> joined = AllocateBlock(tensor.bytes, tensor.where);
    std::byte* at = joined.get();
    for (const Place& place : places) {
      place.shard->file().Read({at, place.entry->bytes}, place.entry->offset, place.entry->name);
      at += place.entry->bytes;
    }
    tensor.data = joined;
  }
  return Family(spec_.family).norms_plus_one && IsNorm(key.role) ? PlusOne(tensor) : tensor;
}

// In float32, as transformers computes it: 1 + w of a bf16 w is not a bf16 number.
HostTensor HuggingFaceStore::PlusOne(const HostTensor& tensor) const {
  const std::vector<float> weights = ToFloats(tensor);
  HostTensor sum = tensor;
  sum.type = DType::kF32;
  sum.bytes = weights.size() * sizeof(float);
  const std::shared_ptr<std::byte> block = AllocateBlock(sum.bytes, tensor.where);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const float value = 1.0f + weights[i];
    std::memcpy(block.get() + i * sizeof(float), &value, sizeof(float));
  }
  sum.data = block;
  return sum;
}

std::vector<StoredTensorInfo> HuggingFaceStore::Listing() const {
  std::set<const SafetensorsEntry*> used;
  for (const auto& [key, located] : located_)
    for (const Place& place : located.places) used.insert(place.entry);
  std::vector<StoredTensorInfo> listing;
  for (const auto& shard : shards_->files())
    for (const SafetensorsEntry& entry : shard->entries())
      listing.push_back({entry.name, shard->file().path(), entry.type.value_or(DType::kF32), entry.shape,
                         static_cast<std::size_t>(entry.bytes), used.contains(&entry), std::string(entry.type_name)});
  return listing;
}

std::string HuggingFaceStore::Identity() const {
  Digest digest;
  digest.Add("safetensors").Add(config_text_);
  for (const auto& shard : shards_->files()) {
    const auto bytes = static_cast<std::size_t>(shard->header_bytes());
    const auto header = shard->file().ReadBlock(0, bytes, "header");
    digest.Add(fs::path(shard->file().path()).filename().string())
        .Add(shard->file().size())
        .Add(std::span(header.get(), bytes));
  }
  return digest.Hex();
}

}  // namespace

std::unique_ptr<WeightStore> OpenHuggingFace(const std::string& folder) {
  return std::make_unique<HuggingFaceStore>(folder);
}

}  // namespace assay

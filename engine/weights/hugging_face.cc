#include "engine/weights/hugging_face.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "engine/base/check.h"
#include "engine/model/families.h"
#include "engine/text/foreign.h"
#include "engine/weights/content.h"
#include "engine/weights/digest.h"
#include "engine/weights/hf_config.h"
#include "engine/weights/hf_shards.h"
#include "engine/weights/strict_json.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

// The text model's tensors begin with one of these; the first under which the embedding is found is taken.
constexpr const char* kPrefixes[] = {"model.language_model.", "language_model.model.", "language_model.", "model.", ""};

// Where a catalogue tensor's bytes are: one place, or one per expert (gate, then up), in the order they are joined.
using Places = std::vector<ShardPlace>;

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
    HfConfig config = ReadHfConfig(config_text_, config_path_, name.filename().string(), EmbeddingRows());
    spec_ = std::move(config.spec);
    unread_ = std::move(config.unread);
    for (const auto& [tensor, shard] : shards_->absent())
      notes_.push_back(
          fmt::format("the index lists {} in {}, which does not hold it", ForMessage(tensor), ForMessage(shard)));
    UntieOwnHead();
    for (const TensorEntry& entry : Catalogue(spec_)) Locate(entry, folder);
  }

  const ModelSpec& spec() const override { return spec_; }
  bool Has(TensorKey key) const override { return located_.contains(key); }
  std::string format() const override { return "safetensors"; }
  HostTensor Load(TensorKey key, bool recipe_only) const override;
  std::vector<StoredTensorInfo> Listing() const override;
  std::vector<UnreadKey> UnreadKeys() const override { return unread_; }
  std::vector<std::string> Notes() const override { return notes_; }
  std::string Digested(IdentityExtent extent) const override;
  std::string DigestOf(IdentityExtent extent) const;

 private:
  struct Located {
    TensorEntry entry;
    Places places;
  };

  std::string FindPrefix(const std::string& folder) const;
  const ShardPlace* FindHead(const std::string& prefix) const;
  const ShardPlace* FindEmbedding() const;
  void UntieOwnHead();
  std::optional<int> EmbeddingRows() const;
  void Locate(const TensorEntry& entry, const std::string& folder);
  Places FindPlaces(const TensorEntry& entry) const;
  Places FindExperts(const TensorEntry& entry) const;
  const ShardPlace* FindNamed(const std::string& name) const;
  HostTensor PlusOne(const HostTensor& tensor) const;
  std::string WhyUnused(const std::string& name) const;

  std::string config_path_, config_text_;
  std::optional<Shards> shards_;
  std::string prefix_;
  ModelSpec spec_;
  std::map<TensorKey, Located> located_;
  std::vector<UnreadKey> unread_;
  std::vector<std::string> notes_;
};

std::string HuggingFaceStore::FindPrefix(const std::string& folder) const {
  std::string tried;
  for (const char* prefix : kPrefixes) {
    const std::string name = std::string(prefix) + "embed_tokens.weight";
    if (shards_->Find(name) != nullptr) return prefix;
    tried += (tried.empty() ? "" : ", ") + name;
  }
  // Tied weights may be stored under the head's name alone: what stands beside the embedding shows the prefix.
  for (const char* prefix : kPrefixes)
    if (shards_->Find(std::string(prefix) + "norm.weight") != nullptr && FindHead(prefix) != nullptr) return prefix;
  // An architecture that is not supported explains it better than a missing name.
  SpecFromHfConfig(config_text_, config_path_, folder, 1);
  Throw("{}: no token embedding: none of {} is there", folder, tried);
}

const ShardPlace* HuggingFaceStore::FindEmbedding() const {
  const ShardPlace* place = shards_->Find(prefix_ + "embed_tokens.weight");
  return place != nullptr ? place : FindHead(prefix_);
}

std::optional<int> HuggingFaceStore::EmbeddingRows() const {
  const ShardPlace* place = FindEmbedding();
  const std::vector<std::int64_t>& shape = place->entry->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[0] > INT_MAX) return std::nullopt;
  return static_cast<int>(shape[0]);
}

const ShardPlace* HuggingFaceStore::FindHead(const std::string& prefix) const {
  // The head stands outside of the text model's prefix in most files.
  for (const std::string& name : {prefix + "lm_head.weight", std::string("lm_head.weight"),
                                  std::string("language_model.lm_head.weight"), std::string("model.lm_head.weight")})
    if (const ShardPlace* place = shards_->Find(name)) return place;
  return nullptr;
}

const ShardPlace* HuggingFaceStore::FindNamed(const std::string& name) const {
  return name == "lm_head.weight" ? FindHead(prefix_) : shards_->Find(prefix_ + name);
}

// A head that differs from the embedding is the model's, whatever the config says: transformers and vLLM keep it.
void HuggingFaceStore::UntieOwnHead() {
  const ShardPlace *embedding = shards_->Find(prefix_ + "embed_tokens.weight"), *head = FindHead(prefix_);
  if (!spec_.tied_head || head == nullptr) return;
  if (embedding == nullptr) {
    notes_.push_back(fmt::format("tied: {} is the embedding too, which is not stored itself", head->entry->name));
  } else if (SameBytes(*embedding, *head)) {
    notes_.push_back(fmt::format("tied: {} is stored too and equals the embedding", head->entry->name));
  } else {
    spec_.tied_head = false;
    notes_.push_back(fmt::format("the config says tied, but {} differs from the embedding: the stored head is used",
                                 head->entry->name));
  }
}

Places HuggingFaceStore::FindPlaces(const TensorEntry& entry) const {
  for (const std::string& name : HuggingFaceNames(spec_, entry.key))
    if (const ShardPlace* place = FindNamed(name)) return {*place};
  if (entry.key.role == Role::kEmbed && spec_.tied_head)
    if (const ShardPlace* place = FindEmbedding()) return {*place};
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
      const ShardPlace* place = FindNamed(name);
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
    for (const std::string& name : HuggingFaceNames(spec_, entry.key))
      if (const auto at = shards_->absent().find(prefix_ + name); at != shards_->absent().end())
        Throw("{}: the index lists tensor '{}' in {}, which does not hold it", folder, ForMessage(at->first),
              ForMessage(at->second));
    Require(!entry.required || entry.key.role != Role::kHead,
            "{}: {} is missing: no tensor {} of shape {}; tie_word_embeddings is false", folder, Name(entry.key), tried,
            ShapeText(FileShape(entry)));
    Require(!entry.required, "{}: {} is missing: no tensor {} of shape {}", folder, Name(entry.key), tried,
            ShapeText(FileShape(entry)));
    return;
  }
  for (const ShardPlace& place : places) {
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
  for (const ShardPlace& place : places) tensor.bytes += place.entry->bytes;
  if (places.size() == 1) {
    tensor.data = places[0].shard->file().ReadBlock(places[0].entry->offset, tensor.bytes, places[0].entry->name);
  } else {
    const std::shared_ptr<std::byte> joined = AllocateBlock(tensor.bytes, tensor.where);
    std::byte* at = joined.get();
    for (const ShardPlace& place : places) {
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

std::string HuggingFaceStore::WhyUnused(const std::string& name) const {
  for (int l = 0; l < spec_.layer_count(); ++l) {
    const std::string layer = fmt::format("{}layers.{}.self_attn.", prefix_, l);
    if (!name.starts_with(layer) || spec_.OwnsKv(l)) continue;
    for (const char* dead : {"k_proj.", "v_proj.", "k_norm."})
      if (name.compare(layer.size(), std::string_view(dead).size(), dead) == 0)
        return fmt::format("layer {} reads the keys and values of layer {}", l, spec_.layer(l).kv_source);
  }
  if (spec_.tied_head && name.ends_with("lm_head.weight")) return "the head is the embedding";
  return HarmlessTensor(name);
}

std::vector<StoredTensorInfo> HuggingFaceStore::Listing() const {
  std::set<const SafetensorsEntry*> used;
  for (const auto& [key, located] : located_)
    for (const ShardPlace& place : located.places) used.insert(place.entry);
  std::vector<StoredTensorInfo> listing;
  for (const auto& shard : shards_->files())
    for (const SafetensorsEntry& entry : shard->entries())
      listing.push_back({entry.name, shard->file().path(), entry.type.value_or(DType::kF32), entry.shape,
                         static_cast<std::size_t>(entry.bytes), used.contains(&entry), std::string(entry.type_name),
                         used.contains(&entry) ? "" : WhyUnused(entry.name)});
  return listing;
}

std::string HuggingFaceStore::Digested(IdentityExtent extent) const {
  if (extent == IdentityExtent::kSampled) return DigestOf(extent);
  std::vector<std::shared_ptr<const InputFile>> files;
  for (const auto& shard : shards_->files()) files.push_back(shard->shared_file());
  return Digest().Add(config_text_).Add(RememberedFor(files, [&] { return DigestOf(extent); })).Hex();
}

std::string HuggingFaceStore::DigestOf(IdentityExtent extent) const {
  Digest digest;
  digest.Add("safetensors 2").Add(config_text_);
  for (const auto& shard : shards_->files()) {
    const auto bytes = static_cast<std::size_t>(shard->header_bytes());
    const auto header = shard->file().ReadBlock(0, bytes, "header");
    digest.Add(fs::path(shard->file().path()).filename().string())
        .Add(shard->file().size())
        .Add(std::span(header.get(), bytes));
    for (const SafetensorsEntry& entry : shard->entries())
      AddContent(&digest, shard->file(), entry.offset, entry.bytes, entry.name, extent);
  }
  return digest.Hex();
}

}  // namespace

std::unique_ptr<WeightStore> OpenHuggingFace(const std::string& folder) {
  return std::make_unique<HuggingFaceStore>(folder);
}

}  // namespace assay

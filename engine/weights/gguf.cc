#include "engine/weights/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <set>
#include <string_view>

#include "engine/base/check.h"
#include "engine/base/quant.h"
#include "engine/model/families.h"
#include "engine/weights/content.h"
#include "engine/weights/digest.h"
#include "engine/weights/gguf_config.h"
#include "engine/weights/gguf_reader.h"

namespace assay {
namespace {

// Where a catalogue entry's rows come from: one tensor, or the gate and up halves of split experts.
struct Source {
  TensorEntry entry;
  const GgufTensor* tensor = nullptr;
  const GgufTensor* up = nullptr;  // set for split experts: `tensor` is the gate half
  int interleaved_heads = 0;       // > 0: rows are permuted per head for rope on neighbouring pairs
};

using Dims = std::array<std::int64_t, 4>;

std::string Shown(const Dims& dims) { return fmt::format("[{}, {}, {}, {}]", dims[0], dims[1], dims[2], dims[3]); }

class GgufStore final : public WeightStore {
 public:
  explicit GgufStore(const std::string& path);
  const ModelSpec& spec() const override { return spec_; }
  bool Has(TensorKey key) const override { return sources_.contains(key); }
  HostTensor Load(TensorKey key, bool recipe_only) const override;
  std::vector<StoredTensorInfo> Listing() const override;
  std::vector<UnreadKey> UnreadKeys() const override { return unread_; }
  std::string format() const override { return "gguf"; }

 private:
  std::string Digested(IdentityExtent extent) const override;
  std::string DigestOf(IdentityExtent extent) const;
  void Locate(const TensorEntry& entry);
  const GgufTensor* Checked(const std::string& name, const TensorEntry& entry, std::int64_t rows);
  std::map<std::string, std::string> Dead() const;
  void RefuseUnknown() const;
  std::shared_ptr<const std::byte> Read(const GgufTensor& tensor) const;
  HostTensor LoadSplitExperts(const Source& source) const;

  GgufFile file_;
  ModelSpec spec_;
  std::map<TensorKey, Source> sources_;
  std::set<std::string_view> used_;
  std::vector<UnreadKey> unread_;
};

// Errors of spec and catalogue name the model; this adds the file they come from.
template <class Body>
auto WithFile(const std::string& path, const Body& body) {
  try {
    return body();
  } catch (const InputError& error) {
    if (std::string_view(error.what()).find(path) != std::string_view::npos) throw;
    Throw<>("{}: {}", path, error.what());
  }
}

GgufStore::GgufStore(const std::string& path) : file_(path) {
  GgufConfig config = WithFile(path, [&] { return ReadGgufConfig(file_); });
  spec_ = std::move(config.spec);
  unread_ = std::move(config.unread);
  for (const TensorEntry& entry : Catalogue(spec_)) Locate(entry);
  if (file_.Find("rope_freqs.weight") != nullptr && (spec_.family == "gemma4" || spec_.family == "llama"))
    used_.insert("rope_freqs.weight");
  RefuseUnknown();
}

// The tensor of that name when present, its shape held against `rows` rows of the entry.
const GgufTensor* GgufStore::Checked(const std::string& name, const TensorEntry& entry, std::int64_t rows) {
  const GgufTensor* tensor = file_.Find(name);
  if (tensor == nullptr) return nullptr;
  // A vector is a matrix of one row, one expert a matrix: dimensions of 1 at the end say nothing.
  const Dims expected{entry.cols, rows, entry.experts, 1};
  Require(tensor->dims == expected, "{}: tensor '{}' ({}): expected dimensions {} (fastest first), found {}",
          file_.path(), name, Name(entry.key), Shown(expected), Shown(tensor->dims));
  Require(tensor->type != DType::kI32, "{}: tensor '{}' ({}): expected floats or blocks, found {}", file_.path(), name,
          Name(entry.key), Name(tensor->type));
  used_.insert(tensor->name);
  return tensor;
}

void GgufStore::Locate(const TensorEntry& entry) {
  Source source{.entry = entry};
  std::string wanted;
  for (const std::string& name : GgufNames(spec_, entry.key)) {
    wanted += (wanted.empty() ? "'" : "' or '") + name;
    if (source.tensor == nullptr) source.tensor = Checked(name, entry, entry.rows);
  }
  if (source.tensor == nullptr && entry.key.role == Role::kExpertGateUp) {
    const std::string stem = fmt::format("blk.{}.ffn_", entry.key.layer);
    source.tensor = Checked(stem + "gate_exps.weight", entry, entry.rows / 2);
    source.up = Checked(stem + "up_exps.weight", entry, entry.rows / 2);
    wanted += fmt::format("' or both '{0}gate_exps.weight' and '{0}up_exps.weight", stem);
    if (source.up == nullptr) source.tensor = nullptr;
  }
  if (source.tensor == nullptr) {
    Require(!entry.required, "{}: tensor {}' ({}, {} x {}) is missing", file_.path(), wanted, Name(entry.key),
            entry.rows, entry.cols);
    return;
  }
  if (Family(spec_.family).gguf_interleaved && entry.key.layer >= 0) {
    const LayerSpec& layer = spec_.layer(entry.key.layer);
    const Role role = entry.key.role;
    if (role == Role::kQuery || role == Role::kQueryBias) source.interleaved_heads = layer.heads;
    if (role == Role::kKey || role == Role::kKeyBias) source.interleaved_heads = layer.kv_heads;
  }
  sources_.emplace(entry.key, source);
}

// Tensors of the decoder that may lie in the file unread, with the reason.
std::map<std::string, std::string> GgufStore::Dead() const {
  std::map<std::string, std::string> dead;
  for (int l = 0; l < spec_.layer_count(); ++l) {
    dead.emplace(fmt::format("blk.{}.attn_rot_embd", l), "a precomputed rope table");
    if (spec_.OwnsKv(l)) continue;
    for (const std::string_view name : {"attn_k.weight", "attn_v.weight", "attn_k_norm.weight"})
      dead.emplace(fmt::format("blk.{}.{}", l, name),
                   fmt::format("layer {} reads the keys and values of layer {}", l, spec_.layer(l).kv_source));
  }
  return dead;
}

// Tensors of the decoder that nothing reads: fine when they are the dead keys and values of a layer that shares
// another's cache, a precomputed rope table, or of another part of the file (vision, audio); an error otherwise.
void GgufStore::RefuseUnknown() const {
  constexpr std::array<std::string_view, 4> kDecoder{"blk.", "output", "token_embd", "per_layer_"};
  const std::map<std::string, std::string> dead = Dead();
  for (const GgufTensor& tensor : file_.tensors()) {
    const std::string_view name = tensor.name;
    const bool decoder = std::any_of(kDecoder.begin(), kDecoder.end(),
                                     [&](std::string_view prefix) { return name.starts_with(prefix); });
    Require(!decoder || used_.contains(name) || dead.contains(tensor.name),
            "{}: tensor '{}' is not part of a {} decoder of {} layers", file_.path(), name, spec_.family,
            spec_.layer_count());
  }
}

std::shared_ptr<const std::byte> GgufStore::Read(const GgufTensor& tensor) const {
  return file_.file(tensor).ReadBlock(tensor.offset, tensor.bytes, tensor.name);
}

// Half-split row s * D/2 + j of each head is stored row 2j + s. Rows are whole blocks, so quantised rows move as they
// are.
std::shared_ptr<const std::byte> Unpermuted(const std::byte* in, std::size_t bytes, std::int64_t rows, int heads,
                                            const std::string& what) {
  std::shared_ptr<std::byte> out = AllocateBlock(bytes, what);
  const std::size_t row_bytes = bytes / static_cast<std::size_t>(rows);
  const std::int64_t head_dim = rows / heads, half = head_dim / 2;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t head = row / head_dim, s = row % head_dim / half, j = row % half;
    const std::int64_t from = head * head_dim + 2 * j + s;
    std::memcpy(out.get() + row * row_bytes, in + from * row_bytes, row_bytes);
  }
  return out;
}

HostTensor GgufStore::Load(TensorKey key, bool) const {
  const auto found = sources_.find(key);
  Require(found != sources_.end(), "{}: the model has no tensor for {}", file_.path(), Name(key));
  const Source& source = found->second;
  if (source.up != nullptr) return LoadSplitExperts(source);
  HostTensor out;
  out.type = source.tensor->type;
  out.experts = source.entry.experts;
  out.rows = source.entry.rows;
  out.cols = source.entry.cols;
  out.bytes = source.tensor->bytes;
  out.where = file_.file(*source.tensor).path() + ": " + source.tensor->name;
  out.data = Read(*source.tensor);
  if (source.interleaved_heads > 0)
    // A bias has a number where a matrix has a row.
    out.data =
        Unpermuted(out.data.get(), out.bytes, out.rows == 1 ? out.cols : out.rows, source.interleaved_heads, out.where);
  return out;
}

// Per expert: gate rows, then up rows. Halves of different types have no common block format and become F32, which is
// exact.
HostTensor GgufStore::LoadSplitExperts(const Source& source) const {
  const std::array<const GgufTensor*, 2> halves{source.tensor, source.up};
  const bool same = source.tensor->type == source.up->type;
  HostTensor out;
  out.type = same ? source.tensor->type : DType::kF32;
  out.experts = source.entry.experts;
  out.rows = source.entry.rows;
  out.cols = source.entry.cols;
  out.where = file_.path() + ": " + source.tensor->name + " and " + source.up->name;
  const std::size_t half_bytes = StoredBytes(out.type, out.rows / 2, out.cols);
  out.bytes = 2 * half_bytes * static_cast<std::size_t>(out.experts);
  std::shared_ptr<std::byte> joined = AllocateBlock(out.bytes, out.where);
  for (std::size_t half = 0; half < 2; ++half) {
    const std::shared_ptr<const std::byte> stored = Read(*halves[half]);
    const std::size_t stored_bytes = halves[half]->bytes / static_cast<std::size_t>(out.experts);
    for (std::size_t e = 0; e < static_cast<std::size_t>(out.experts); ++e) {
      std::byte* to = joined.get() + (2 * e + half) * half_bytes;
      const std::byte* from = stored.get() + e * stored_bytes;
      // The block is aligned to 64 and rows are whole floats, so the F32 case may be written as such.
      if (same)
        std::memcpy(to, from, half_bytes);
      else
        DequantiseRow(halves[half]->type, from, reinterpret_cast<float*>(to), out.rows / 2 * out.cols);
    }
  }
  out.data = joined;
  return out;
}

std::vector<StoredTensorInfo> GgufStore::Listing() const {
  const std::map<std::string, std::string> dead = Dead();
  std::vector<StoredTensorInfo> listing;
  for (const GgufTensor& tensor : file_.tensors()) {
    StoredTensorInfo info{tensor.name,  file_.file(tensor).path(),  tensor.type, {},
                          tensor.bytes, used_.contains(tensor.name)};
    for (int d = tensor.rank; d-- > 0;) info.shape.push_back(tensor.dims[d]);
    if (!info.used) info.reason = dead.contains(tensor.name) ? dead.at(tensor.name) : HarmlessTensor(tensor.name);
    listing.push_back(std::move(info));
  }
  return listing;
}

std::string GgufStore::Digested(IdentityExtent extent) const {
  if (extent == IdentityExtent::kSampled) return DigestOf(extent);
  return RememberedFor(file_.parts(), [&] { return DigestOf(extent); });
}

// The whole header, read in pieces: names, types, shapes and offsets, and the vocabulary with them. Then the tensors.
std::string GgufStore::DigestOf(IdentityExtent extent) const {
  constexpr std::uint64_t kPiece = 1u << 20;
  Digest digest;
  digest.Add("gguf 2").Add(file_.file().size());
  std::vector<std::byte> piece;
  for (std::uint64_t at = 0; at < file_.data_start(); at += piece.size()) {
    piece.resize(std::min(kPiece, file_.data_start() - at));
    file_.file().Read(piece, at, "header");
    digest.Add(piece);
  }
  for (std::size_t part = 1; part < file_.parts().size(); ++part) digest.Add(file_.parts()[part]->size());
  for (const GgufTensor& tensor : file_.tensors())
    if (tensor.part > 0) digest.Add(tensor.name).Add(tensor.offset).Add(std::uint64_t{tensor.bytes});
  for (const GgufTensor& tensor : file_.tensors())
    AddContent(&digest, *file_.parts()[tensor.part], tensor.offset, tensor.bytes, tensor.name, extent);
  return digest.Hex();
}

}  // namespace

std::unique_ptr<WeightStore> OpenGguf(const std::string& path) { return std::make_unique<GgufStore>(path); }

}  // namespace assay

// A source of weights: a Hugging Face folder, a GGUF file or a synthetic preset behind one interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/base/tensor.h"
#include "engine/model/spec.h"
#include "engine/model/tensors.h"
#include "engine/weights/unread_keys.h"

namespace assay {

struct StoredTensorInfo {
  std::string name;  // in the file
  std::string file;
  DType type;                       // meaningless when type_name is not one of the engine's types
  std::vector<std::int64_t> shape;  // row-major, outermost first
  std::size_t bytes;
  bool used;                // false: in the file but not read (dead K/V, vision tower)
  std::string type_name{};  // as the file spells it; empty: Name(type)
  std::string reason{};     // why nothing reads it; empty: it is read, or nobody knows
};

// How much of large tensors an identity is made of; of small ones always all.
enum class IdentityExtent { kSampled, kWhole };

// Thread-safe for concurrent Loads. Opening reads headers only; Load touches the bytes of one tensor.
class WeightStore {
 public:
  virtual ~WeightStore() = default;
  virtual const ModelSpec& spec() const = 0;
  virtual bool Has(TensorKey key) const = 0;
  // The tensor in the catalogue's shape and row order (interleaved Q/K un-permuted, split experts joined, "1 + w" norms
  // added), its stored type kept where possible. With `recipe_only`, synthetic sources leave `data` null. Throws
  // InputError that names file and tensor.
  virtual HostTensor Load(TensorKey key, bool recipe_only = false) const = 0;
  virtual std::vector<StoredTensorInfo> Listing() const = 0;
  // Keys of the configuration or metadata that nothing was read from. One that may change the arithmetic is refused
  // when the model is opened.
  virtual std::vector<UnreadKey> UnreadKeys() const { return {}; }
  // What was decided about the file that its reader may not expect ("tied by config, but ...").
  virtual std::vector<std::string> Notes() const { return {}; }
  virtual std::string format() const = 0;  // "safetensors", "gguf", "synthetic"
  // SHA-256 over configuration, headers (names, types, shapes, offsets), file sizes and the tensors' bytes, as `extent`
  // says and content.h; or over preset and seed. Two checkpoints that differ in a byte that was looked at have two
  // identities. Read once a store, kWhole once for files of one size and time.
  std::string Identity(IdentityExtent extent = IdentityExtent::kSampled) const;

 protected:
  virtual std::string Digested(IdentityExtent extent) const = 0;

 private:
  mutable std::mutex mutex_;
  mutable std::map<IdentityExtent, std::string> identities_;
};

// Opens `model`: a folder with config.json, a GGUF file whatever its name, or a preset's name. Presets are synthetic,
// with `seed`. A suffix @q8_0 or
// @q4_0 on any of them quantises the matrices when they are loaded (requantised.h).
// Throws InputError that says what was tried when it is none of these.
std::unique_ptr<WeightStore> OpenModel(const std::string& model, std::uint64_t seed = 0);

// Reads every element as float32: [experts, rows, cols]. For references, vectors and tests.
std::vector<float> ToFloats(const HostTensor& tensor);
// Row `row` of [experts x rows] as float32 to out[cols], from the bytes or from the recipe.
void ReadRow(const HostTensor& tensor, std::int64_t row, float* out);

}  // namespace assay

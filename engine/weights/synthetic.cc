#include "engine/weights/synthetic.h"

#include <cmath>
#include <cstring>
#include <map>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/base/parallel.h"
#include "engine/base/random.h"
#include "engine/weights/digest.h"
#include "engine/weights/input_file.h"

namespace assay {
namespace {

struct Recipe {
  DType type;
  float scale;
  float offset;
};

Recipe Matrix(double gain, std::int64_t inputs) {
  return {DType::kBF16, static_cast<float>(gain / std::sqrt(static_cast<double>(inputs))), 0.0f};
}
Recipe Vector(double mean, double spread) { return {DType::kF32, static_cast<float>(spread), static_cast<float>(mean)}; }

Recipe RecipeOf(const ModelSpec&, const TensorEntry& entry) {
  switch (entry.key.role) {
    case Role::kEmbed: return Matrix(1.0, 1);
    default: break;
  }
  return entry.rows > 1 ? Matrix(1.0, entry.cols) : Vector(1.0, 0.1);
}

std::uint64_t KeyOf(std::uint64_t seed, TensorKey key) {
  std::uint64_t hash = Mix64(seed + 0x9e3779b97f4a7c15ull);
  for (const char c : Name(key)) hash = Mix64(hash ^ static_cast<unsigned char>(c)) + 0x9e3779b97f4a7c15ull;
  return hash;
}

template <class T, class Convert>
void Fill(const SyntheticFill& fill, std::byte* out, std::int64_t first, std::int64_t count, Convert convert) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float scaled = fill.scale * RandomNormalish(fill.key, static_cast<std::uint64_t>(first + i));
    const T value = convert(fill.offset + scaled);
    std::memcpy(out + static_cast<std::size_t>(i) * sizeof(T), &value, sizeof(T));
  }
}

class SyntheticStore final : public WeightStore {
 public:
  SyntheticStore(const ModelSpec& spec, std::uint64_t seed) : spec_(spec), seed_(seed) {
    for (const TensorEntry& entry : Catalogue(spec_)) entries_.emplace(entry.key, entry);
  }

  const ModelSpec& spec() const override { return spec_; }
  bool Has(TensorKey key) const override { return entries_.contains(key); }
  std::string format() const override { return "synthetic"; }

  HostTensor Load(TensorKey key, bool recipe_only) const override {
    const auto found = entries_.find(key);
    Require(found != entries_.end(), "synthetic {}: there is no tensor for {}", spec_.name, Name(key));
    const TensorEntry& entry = found->second;
    const Recipe recipe = RecipeOf(spec_, entry);
    HostTensor tensor;
    tensor.type = recipe.type;
    tensor.experts = entry.experts;
    tensor.rows = entry.rows;
    tensor.cols = entry.cols;
    tensor.bytes = StoredBytes(recipe.type, entry.experts * entry.rows, entry.cols);
    tensor.where = fmt::format("synthetic {} seed {}: {}", spec_.name, seed_, Name(key));
    tensor.fill = SyntheticFill{KeyOf(seed_, key), recipe.scale, recipe.offset};
    if (recipe_only) return tensor;
    const std::shared_ptr<std::byte> block = AllocateBlock(tensor.bytes, tensor.where);
    const std::int64_t element = Info(recipe.type).bytes;
    ParallelFor(entry.elements(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      FillSynthetic(recipe.type, *tensor.fill, block.get() + begin * element, begin, end - begin);
    });
    tensor.data = block;
    return tensor;
  }

  std::vector<StoredTensorInfo> Listing() const override {
    std::vector<StoredTensorInfo> listing;
    for (const TensorEntry& entry : Catalogue(spec_)) {
      const DType type = RecipeOf(spec_, entry).type;
      std::vector<std::int64_t> shape{entry.experts, entry.rows, entry.cols};
      while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
      listing.push_back({Name(entry.key), "synthetic", type, shape, StoredBytes(type, entry.experts * entry.rows, entry.cols), true,
                         std::string(Name(type))});
    }
    return listing;
  }

  std::string Identity() const override {
    Digest digest;
    digest.Add("synthetic 1").Add(spec_.name).Add(seed_);
    for (const TensorEntry& entry : Catalogue(spec_)) {
      const Recipe recipe = RecipeOf(spec_, entry);
      digest.Add(Name(entry.key)).Add(static_cast<std::uint64_t>(entry.elements()));
      digest.Add(fmt::format("{} {} {}", Name(recipe.type), recipe.scale, recipe.offset));
    }
    return digest.Hex();
  }

 private:
  ModelSpec spec_;
  std::uint64_t seed_;
  std::map<TensorKey, TensorEntry> entries_;
};

}  // namespace

void FillSynthetic(DType type, const SyntheticFill& fill, std::byte* out, std::int64_t first, std::int64_t count) {
  switch (type) {
    case DType::kF32: return Fill<float>(fill, out, first, count, [](float v) { return v; });
    case DType::kF16: return Fill<F16>(fill, out, first, count, [](float v) { return ToF16(v); });
    case DType::kBF16: return Fill<BF16>(fill, out, first, count, [](float v) { return ToBF16(v); });
    default: Throw("synthetic weights of type {} are not supported", Name(type));
  }
}

std::unique_ptr<WeightStore> OpenSynthetic(const ModelSpec& spec, std::uint64_t seed) {
  ValidateSpec(spec);
  return std::make_unique<SyntheticStore>(spec, seed);
}

}  // namespace assay

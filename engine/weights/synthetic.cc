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

// Products of a unit-rms input have rms `gain`.
Recipe Matrix(double gain, std::int64_t inputs) {
  return {DType::kBF16, static_cast<float>(gain / std::sqrt(static_cast<double>(inputs))), 0.0f};
}
// Norm weights and scalars: `mean`, with a spread small enough that all keep its sign (|normal| < 3.5).
Recipe Vector(double mean, double relative_spread = 0.2) {
  return {DType::kF32, static_cast<float>(mean * relative_spread), static_cast<float>(mean)};
}

// What the gains aim at.
constexpr double kLogitStd =
    5.0;  // decisive: the best of V normal logits leads by about std / sqrt(2 ln V); a cap of 30 is far
constexpr double kSelfLogit =
    5.0;  // by how much a tied head lowers the input token's own logit: enough that greedy text does not
          // stick to one token, little enough that the layers decide (one std of the others)
constexpr double kScoreStd = 1.4;  // attention scores: neither uniform nor one key; steeper ones only amplify rounding
constexpr double kPostNormScoreStd =
    1.0;  // ... with post norms, which bring a small mean of values back to unit rms, its rounding included: at 1.4
          // some rows' 16-bit errors leave more than the best ten tokens open
constexpr double kRouterStd = 5.0;  // the last expert chosen has little weight, so that a near-tie there changes little
constexpr double kDecay = 1.0;      // layer scalars multiply to exp(-kDecay) over the whole depth

// The residual stream when each sublayer adds a part of unit rms and each layer multiplies by its scalar.
struct Residual {
  double layer_scalar = 1;  // mean
  double kept = 1;          // of the embedding, at the end
  double rms = 1;           // at the end, without the embedding's share
  double embedding = 1;     // rms of the scaled embedding row

  explicit Residual(const ModelSpec& spec) {
    const double depth = spec.layer_count(), parts = spec.ple_width > 0 ? 3 : 2;
    if (spec.layer_scalar) layer_scalar = std::exp(-kDecay / depth);
    const double square = layer_scalar * layer_scalar;
    kept = std::pow(layer_scalar, depth);
    rms = std::sqrt(parts * (spec.layer_scalar ? square * (1 - std::pow(square, depth)) / (1 - square) : depth));
    // A tied head scores the direction of the input's own row by logit std * sqrt(hidden) * its share of the final
    // state.
    if (spec.tied_head) embedding = kSelfLogit * rms / (kLogitStd * std::sqrt(static_cast<double>(spec.hidden)) * kept);
  }
};

// By role. Products without a norm behind them (Llama, Qwen) need gains that give unit parts: an attention mean over a
// handful of keys has about half its values' rms, silu(g) * u of unit normals 0.6. With post norms the norm's weight
// sets the part's rms.
Recipe RecipeOf(const ModelSpec& spec, const TensorEntry& entry) {
  const Residual residual(spec);
  const double hidden = spec.hidden, embedding_std = residual.embedding / static_cast<double>(spec.embed_scale);
  const int inputs_of = static_cast<int>(entry.cols);
  // Scores of heads normed to weights a and b: std = attn_scale * sqrt(head_dim) * a * b; of projections of gains a and
  // b alike.
  const double head_dim = entry.key.layer < 0 ? 1 : spec.layer(entry.key.layer).head_dim;
  const double score_std = spec.post_norms ? kPostNormScoreStd : kScoreStd;
  const double score_gain = std::sqrt(score_std / (static_cast<double>(spec.attn_scale) * std::sqrt(head_dim)));
  switch (entry.key.role) {
    case Role::kEmbed:
      return Matrix(embedding_std, 1);
    case Role::kHead:
      return Matrix(kLogitStd, inputs_of);
    // Negative with a tied head: a positive one favours the input token, and repeating it is then a state that greedy
    // text never leaves.
    case Role::kFinalNorm:
      return Vector(spec.tied_head ? -kLogitStd / (embedding_std * std::sqrt(hidden)) : 1.0);
    case Role::kPleEmbed:
      return Matrix(1.0, spec.ple_width);  // times sqrt(P): unit rms
    case Role::kPleProject:
      return Matrix(8.0, inputs_of);  // a norm follows; this keeps it well above its epsilon
    case Role::kQuery:
    case Role::kKey:
      return Matrix(spec.qk_norm ? 1.0 : score_gain, inputs_of);
    case Role::kQueryNorm:
    case Role::kKeyNorm:
      return Vector(score_gain);
    case Role::kQueryBias:
    case Role::kKeyBias:
    case Role::kValueBias:
      return {DType::kF32, 0.3f, 0.0f};
    case Role::kAttnOut:
      return Matrix(spec.post_norms ? 1.0 : 2.0, inputs_of);
    case Role::kDown:
      return Matrix(spec.post_norms ? 1.0 : 1.7, inputs_of);
    case Role::kRouter:
      return Matrix(kRouterStd, inputs_of);
    case Role::kRouterScale:
      return Vector(std::sqrt(hidden));  // undoes the formula's hidden^(-1/2)
    // Half of the other parts: which expert is last, and a gate without a norm, are where rounding grows most.
    case Role::kPostExpertNorm:
    case Role::kPostPleNorm:
      return Vector(0.5);
    case Role::kLayerScalar:
      return Vector(residual.layer_scalar, 0.02);
    case Role::kPleGate:
      return Matrix(1.0 / residual.rms, inputs_of);  // reads the residual stream without a norm
    default:
      return entry.rows > 1 ? Matrix(1.0, inputs_of) : Vector(1.0);
  }
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
    std::memcpy(out + i * sizeof(T), &value, sizeof(T));
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
      listing.push_back({Name(entry.key), "synthetic", type, shape,
                         StoredBytes(type, entry.experts * entry.rows, entry.cols), true, std::string(Name(type))});
    }
    return listing;
  }

  std::string Digested(IdentityExtent) const override {
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
    case DType::kF32:
      return Fill<float>(fill, out, first, count, [](float v) { return v; });
    case DType::kF16:
      return Fill<F16>(fill, out, first, count, [](float v) { return ToF16(v); });
    case DType::kBF16:
      return Fill<BF16>(fill, out, first, count, [](float v) { return ToBF16(v); });
    default:
      Throw("synthetic weights of type {} are not supported", Name(type));
  }
}

std::unique_ptr<WeightStore> OpenSynthetic(const ModelSpec& spec, std::uint64_t seed) {
  ValidateSpec(spec);
  return std::make_unique<SyntheticStore>(spec, seed);
}

}  // namespace assay

#include "engine/runtime/model_weights.h"

#include <cmath>
#include <future>

#include "engine/base/check.h"
#include "engine/model/tensors.h"
#include "engine/weights/finite.h"

namespace assay {
namespace {

class Uploader {
 public:
  Uploader(const WeightStore& store, Ops& ops, ModelWeights& weights) : store_(store), ops_(ops), weights_(weights) {
    for (const TensorEntry& entry : Catalogue(store.spec())) catalogue_[entry.key] = entry;
  }

  bool Has(Role role, int layer = -1) const { return catalogue_.contains({role, layer}) && store_.Has({role, layer}); }

  // The listed matrices stacked into one weight; null when the model has none of them.
  std::unique_ptr<Weight> Matrix(std::initializer_list<Role> roles, int layer = -1,
                                 WeightUse use = WeightUse::kMatrix) {
    const DType as = use == WeightUse::kTable ? DType::kF32 : OperandType(ops_.precision());
    std::vector<HostTensor> parts;
    for (const Role role : roles)
      if (Wanted(role, layer)) parts.push_back(Loaded({role, layer}, /*recipe_only=*/!ops_.on_host()));
    if (parts.empty()) return nullptr;
    std::vector<HostTensor> read;  // recipes are not
    for (const HostTensor& part : parts)
      if (!part.fill) read.push_back(part);
    // Looking at every value takes about as long as copying it to a device: both at once.
    std::future<void> checked =
        std::async(ops_.on_host() || read.empty() ? std::launch::deferred : std::launch::async, [&] {
          for (const HostTensor& part : read) RequireFinite(part, as);
        });
    std::unique_ptr<Weight> weight = ops_.Prepare(parts, use);
    checked.get();
    weights_.matrix_bytes += weight->bytes();
    weights_.resident_bytes += weight->bytes();
    ++weights_.formats[weight->format()];
    return weight;
  }

  std::vector<float> Values(Role role, int layer = -1) {
    if (!Wanted(role, layer)) return {};
    const HostTensor tensor = Loaded({role, layer}, /*recipe_only=*/false);
    if (!tensor.fill) RequireFinite(tensor, DType::kF32);
    return ToFloats(tensor);
  }

  // A vector (or small matrix) as float32; a null buffer when the model has none.
  Buffer Vector(Role role, int layer = -1) { return Upload(Values(role, layer), Name(TensorKey{role, layer})); }

  Buffer Upload(const std::vector<float>& values, const std::string& what) {
    if (values.empty()) return {};
    Buffer buffer(ops_.memory(), values.size() * sizeof(float), what);
    ops_.memory().CopyIn(buffer.data(), values.data(), buffer.bytes());
    weights_.resident_bytes += buffer.bytes();
    return buffer;
  }

 private:
  bool Wanted(Role role, int layer) const {
    const auto entry = catalogue_.find({role, layer});
    return entry != catalogue_.end() && (entry->second.required || store_.Has(entry->first));
  }

  // Its shape is what the catalogue says.
  HostTensor Loaded(TensorKey key, bool recipe_only) const {
    HostTensor tensor = store_.Load(key, recipe_only);
    const TensorEntry& entry = catalogue_.at(key);
    Require(tensor.experts == entry.experts && tensor.rows == entry.rows && tensor.cols == entry.cols,
            "{}: {} has shape [{}, {}, {}], expected [{}, {}, {}]", tensor.where, Name(key), tensor.experts,
            tensor.rows, tensor.cols, entry.experts, entry.rows, entry.cols);
    return tensor;
  }

  const WeightStore& store_;
  Ops& ops_;
  ModelWeights& weights_;
  std::map<TensorKey, TensorEntry> catalogue_;
};

LayerWeights UploadLayer(Uploader& up, int l) {
  LayerWeights w;
  w.attn_norm = up.Vector(Role::kAttnNorm, l);
  w.q_norm = up.Vector(Role::kQueryNorm, l);
  w.k_norm = up.Vector(Role::kKeyNorm, l);
  std::vector<float> bias;
  for (const Role role : {Role::kQueryBias, Role::kKeyBias, Role::kValueBias}) {
    const std::vector<float> part = up.Values(role, l);
    bias.insert(bias.end(), part.begin(), part.end());
  }
  w.qkv_bias = up.Upload(bias, fmt::format("layer {} qkv bias", l));
  w.out_bias = up.Vector(Role::kOutBias, l);
  w.post_attn_norm = up.Vector(Role::kPostAttnNorm, l);
  w.ffn_norm = up.Vector(Role::kFfnNorm, l);
  w.post_ffn_norm = up.Vector(Role::kPostFfnNorm, l);
  w.router = up.Vector(Role::kRouter, l);
  w.router_scale = up.Vector(Role::kRouterScale, l);
  w.expert_scale = up.Vector(Role::kExpertScale, l);
  w.pre_expert_norm = up.Vector(Role::kPreExpertNorm, l);
  w.post_dense_norm = up.Vector(Role::kPostDenseNorm, l);
  w.post_expert_norm = up.Vector(Role::kPostExpertNorm, l);
  w.post_ple_norm = up.Vector(Role::kPostPleNorm, l);
  w.qkv = up.Matrix({Role::kQuery, Role::kKey, Role::kValue}, l);
  w.attn_out = up.Matrix({Role::kAttnOut}, l);
  w.gate_up = up.Matrix({Role::kGate, Role::kUp}, l, WeightUse::kGated);
  w.down = up.Matrix({Role::kDown}, l);
  w.expert_gate_up = up.Matrix({Role::kExpertGateUp}, l, WeightUse::kGated);
  w.expert_down = up.Matrix({Role::kExpertDown}, l);
  w.ple_gate = up.Matrix({Role::kPleGate}, l);
  w.ple_out = up.Matrix({Role::kPleOut}, l);
  const std::vector<float> scalar = up.Values(Role::kLayerScalar, l);
  if (!scalar.empty()) w.scalar = scalar[0];
  return w;
}

}  // namespace

ModelWeights::ModelWeights(const WeightStore& store, Ops& ops) {
  Uploader up(store, ops, *this);
  const ModelSpec& spec = store.spec();
  embed = up.Matrix({Role::kEmbed});
  if (up.Has(Role::kHead)) untied_head = up.Matrix({Role::kHead});
  ple_table = up.Matrix({Role::kPleEmbed}, -1, WeightUse::kTable);
  ple_project = up.Matrix({Role::kPleProject});
  ple_norm = up.Vector(Role::kPleProjectNorm);
  final_norm = up.Vector(Role::kFinalNorm);
  for (const RopeSpec& rope : spec.ropes) inv_freq.push_back(up.Upload(rope.inv_freq, "rope frequencies"));
  for (int l = 0; l < spec.layer_count(); ++l) layers.push_back(UploadLayer(up, l));
  ops.Synchronize();
}

}  // namespace assay

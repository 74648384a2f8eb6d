#include "engine/runtime/model_weights.h"

#include <cmath>

#include "engine/base/check.h"
#include "engine/base/read_ahead.h"
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

  // The listed matrices stacked into one weight become `to` in Run; it stays null when the model has none of them.
  void Matrix(std::unique_ptr<Weight>& to, std::initializer_list<Role> roles, int layer = -1,
              WeightUse use = WeightUse::kMatrix) {
    Stack stack{&to, use, {}};
    for (const Role role : roles)
      if (Wanted(role, layer)) stack.keys.push_back({role, layer});
    if (!stack.keys.empty()) stacks_.push_back(std::move(stack));
  }

  // Reads, checks and prepares them. For a device one thread reads while this one copies.
  void Run() {
    if (ops_.on_host()) {
      for (const Stack& stack : stacks_) Prepare(stack, Read(stack));
      return;
    }
    ReadAhead<std::vector<HostTensor>> ahead(stacks_.size(), [&](std::size_t i) { return Read(stacks_[i]); });
    for (const Stack& stack : stacks_) Prepare(stack, ahead.Next());
  }

  std::vector<float> Values(Role role, int layer = -1) {
    return Wanted(role, layer) ? ToFloats(Checked({role, layer}, false, DType::kF32)) : std::vector<float>();
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
  struct Stack {
    std::unique_ptr<Weight>* to;
    WeightUse use;
    std::vector<TensorKey> keys;
  };
  std::vector<HostTensor> Read(const Stack& stack) const {
    const DType as = stack.use == WeightUse::kTable ? DType::kF32 : OperandType(ops_.precision());
    std::vector<HostTensor> parts;
    for (const TensorKey key : stack.keys) parts.push_back(Checked(key, /*recipe_only=*/!ops_.on_host(), as));
    return parts;
  }
  void Prepare(const Stack& stack, const std::vector<HostTensor>& parts) {
    *stack.to = ops_.Prepare(parts, stack.use);
    const Weight& weight = **stack.to;
    weights_.matrix_bytes += weight.bytes();
    weights_.resident_bytes += weight.bytes();
    ++weights_.formats[weight.format()];
  }
  bool Wanted(Role role, int layer) const {
    const auto entry = catalogue_.find({role, layer});
    return entry != catalogue_.end() && (entry->second.required || store_.Has(entry->first));
  }

  // `as`: what values are multiplied in.
  HostTensor Checked(TensorKey key, bool recipe_only, DType as) const {
    HostTensor tensor = store_.Load(key, recipe_only);
    const TensorEntry& entry = catalogue_.at(key);
    Require(tensor.experts == entry.experts && tensor.rows == entry.rows && tensor.cols == entry.cols,
            "{}: {} has shape [{}, {}, {}], expected [{}, {}, {}]", tensor.where, Name(key), tensor.experts,
            tensor.rows, tensor.cols, entry.experts, entry.rows, entry.cols);
    if (!tensor.fill) RequireFinite(tensor, as);
    return tensor;
  }

  const WeightStore& store_;
  Ops& ops_;
  ModelWeights& weights_;
  std::map<TensorKey, TensorEntry> catalogue_;
  std::vector<Stack> stacks_;
};

void UploadLayer(Uploader& up, int l, LayerWeights& w) {
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
  up.Matrix(w.qkv, {Role::kQuery, Role::kKey, Role::kValue}, l);
  up.Matrix(w.attn_out, {Role::kAttnOut}, l);
  up.Matrix(w.gate_up, {Role::kGate, Role::kUp}, l, WeightUse::kGated);
  up.Matrix(w.down, {Role::kDown}, l);
  up.Matrix(w.expert_gate_up, {Role::kExpertGateUp}, l, WeightUse::kGated);
  up.Matrix(w.expert_down, {Role::kExpertDown}, l);
  up.Matrix(w.ple_gate, {Role::kPleGate}, l);
  up.Matrix(w.ple_out, {Role::kPleOut}, l);
  const std::vector<float> scalar = up.Values(Role::kLayerScalar, l);
  if (!scalar.empty()) w.scalar = scalar[0];
}

}  // namespace

ModelWeights::ModelWeights(const WeightStore& store, Ops& ops) {
  Uploader up(store, ops, *this);
  const ModelSpec& spec = store.spec();
  up.Matrix(embed, {Role::kEmbed});
  if (up.Has(Role::kHead)) up.Matrix(untied_head, {Role::kHead});
  up.Matrix(ple_table, {Role::kPleEmbed}, -1, WeightUse::kTable);
  up.Matrix(ple_project, {Role::kPleProject});
  ple_norm = up.Vector(Role::kPleProjectNorm);
  final_norm = up.Vector(Role::kFinalNorm);
  for (const RopeSpec& rope : spec.ropes) inv_freq.push_back(up.Upload(rope.inv_freq, "rope frequencies"));
  layers.resize(spec.layer_count());
  for (int l = 0; l < spec.layer_count(); ++l) UploadLayer(up, l, layers[l]);
  up.Run();
  ops.Synchronize();
}

}  // namespace assay

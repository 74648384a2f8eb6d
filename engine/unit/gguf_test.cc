// GGUF files: what the loader reads off the fixtures, and what it makes of valid ones changed in one place.
#include "engine/weights/gguf.h"
#include "engine/testing/fixtures.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "engine/base/check.h"
#include "engine/base/half.h"
#include "engine/base/quant.h"
#include "engine/testing/complaint.h"
#include "engine/testing/gguf_fixture.h"

namespace assay {
namespace {

using Opened = OpenedGguf;

std::vector<float> Floats(const HostTensor& tensor) {
  std::vector<float> out(tensor.experts * tensor.rows * tensor.cols);
  DequantiseRow(tensor.type, tensor.data.get(), out.data(), static_cast<std::int64_t>(out.size()));
  return out;
}

std::string Stored(const HostTensor& tensor) {
  return {reinterpret_cast<const char*>(tensor.data.get()), tensor.bytes};
}

std::string Kinds(const ModelSpec& spec) {
  std::string kinds;
  for (const LayerSpec& layer : spec.layers) kinds += layer.kind == LayerKind::kFull ? 'F' : 's';
  return kinds;
}

struct Expected {
  const char *file, *family, *kinds;
  int hidden, heads, kv_heads, head_dim, ffn;
  float softcap;
  bool tied;
};

TEST(Gguf, ReadsTheGeometryOfEveryFixture) {
  const Expected table[] = {
      {"gemma3", "gemma3", "sssssFs", 48, 4, 2, 16, 64, 0, true},
      {"gemma3-linear-rope", "gemma3", "sssssFs", 48, 4, 2, 16, 64, 0, true},
      {"gemma4-e2b-like", "gemma4", "ssssFssssF", 32, 4, 1, 16, 48, 30, true},
      {"gemma4-k-eq-v", "gemma4", "ssFssF", 64, 8, 4, 16, 96, 30, true},
      {"gemma4-moe-fused-experts", "gemma4", "ssF", 48, 4, 2, 16, 48, 30, true},
      {"gemma4-moe-split-experts", "gemma4", "ssF", 48, 4, 2, 16, 48, 30, true},
      {"llama", "llama", "FFF", 48, 4, 2, 16, 64, 0, true},
      {"llama3-rope-freqs", "llama", "FFF", 48, 4, 2, 16, 64, 0, false},
      {"qwen2", "qwen2", "FFF", 64, 4, 2, 16, 96, 0, true},
      {"qwen3", "qwen3", "FFF", 48, 4, 2, 32, 64, 0, true},
  };
  for (const Expected& want : table) {
    SCOPED_TRACE(want.file);
    const auto store = OpenGguf(TinyGgufPath(want.file));
    const ModelSpec& spec = store->spec();
    EXPECT_EQ(spec.family, want.family);
    EXPECT_EQ(spec.name, want.file);
    EXPECT_EQ(Kinds(spec), want.kinds);
    EXPECT_EQ(spec.hidden, want.hidden);
    EXPECT_EQ(spec.vocab, 96);
    EXPECT_EQ(spec.max_position, 256);
    EXPECT_EQ(spec.softcap, want.softcap);
    EXPECT_EQ(spec.tied_head, want.tied);
    EXPECT_EQ(store->Has({Role::kHead}), !want.tied);
    const LayerSpec& first = spec.layers[0];
    EXPECT_EQ(first.heads, want.heads);
    EXPECT_EQ(first.kv_heads, want.kv_heads);
    EXPECT_EQ(first.head_dim, want.head_dim);
    EXPECT_EQ(first.ffn, want.ffn);
    EXPECT_EQ(first.window, first.kind == LayerKind::kSliding ? 5 : 0);
    EXPECT_EQ(store->format(), "gguf");
    for (const TensorEntry& entry : Catalogue(spec)) {
      ASSERT_TRUE(store->Has(entry.key)) << Name(entry.key);
      const HostTensor tensor = store->Load(entry.key);
      EXPECT_EQ(tensor.experts * tensor.rows * tensor.cols, entry.elements()) << Name(entry.key);
      EXPECT_EQ(tensor.bytes, StoredBytes(tensor.type, tensor.experts * tensor.rows, tensor.cols));
    }
  }
}

TEST(Gguf, Gemma4SharesDoublesAndDropsValuesAsTheFileSays) {
  const auto e2b = OpenGguf(TinyGgufPath("gemma4-e2b-like"));
  const ModelSpec& spec = e2b->spec();
  EXPECT_EQ(spec.ple_width, 16);
  const int sources[] = {0, 1, 2, 3, 4, 3, 3, 3, 3, 4}, ffn[] = {48, 48, 48, 48, 48, 96, 96, 96, 96, 96};
  for (std::size_t l = 0; l < 10; ++l) {
    EXPECT_EQ(spec.layers[l].kv_source, sources[l]) << l;
    EXPECT_EQ(spec.layers[l].ffn, ffn[l]) << l;
    EXPECT_FALSE(spec.layers[l].value_is_key);
  }
  EXPECT_EQ(spec.layers[4].head_dim, 32);
  // A quarter of 16 pairs rotates; the other divisors are 1e30.
  const std::vector<float>& full = spec.ropes[spec.layers[4].rope].inv_freq;
  for (std::size_t d = 0; d < 16; ++d)
    EXPECT_EQ(full[d], d < 4 ? static_cast<float>(std::pow(1e6, -2.0 * static_cast<double>(d) / 32)) : 0.0f) << d;

  const auto k_eq_v = OpenGguf(TinyGgufPath("gemma4-k-eq-v"));
  for (std::size_t l = 0; l < 6; ++l) {
    EXPECT_EQ(k_eq_v->spec().layers[l].value_is_key, l % 3 == 2) << l;
    EXPECT_EQ(k_eq_v->spec().layers[l].kv_heads, l % 3 == 2 ? 1 : 4) << l;
    EXPECT_EQ(k_eq_v->Has({Role::kValue, static_cast<int>(l)}), l % 3 != 2) << l;
  }
}

TEST(Gguf, GeneratesProportionalRopeWhenItsTensorIsMissing) {
  GgufImage image = TinyGguf("gemma4-e2b-like");
  const Opened with(image);
  image.Drop("rope_freqs.weight");
  const Opened without(image);
  EXPECT_EQ(with->spec(), without->spec());
}

TEST(Gguf, RopeScalingAndDivisors) {
  const auto linear = OpenGguf(TinyGgufPath("gemma3-linear-rope")), plain = OpenGguf(TinyGgufPath("gemma3"));
  const auto rope = [](const WeightStore& store, std::size_t layer) {
    return store.spec().ropes[store.spec().layers[layer].rope].inv_freq;
  };
  EXPECT_EQ(rope(*linear, 0), rope(*plain, 0));  // sliding layers keep theirs
  for (std::size_t d = 0; d < 8; ++d) EXPECT_FLOAT_EQ(rope(*linear, 5)[d], rope(*plain, 5)[d] / 8) << d;

  GgufImage image = TinyGguf("llama3-rope-freqs");
  std::vector<float> divisors(8);
  std::memcpy(divisors.data(), image.TensorAt("rope_freqs.weight").data.data(), 32);
  EXPECT_GT(divisors[7], 1.0f);
  const Opened scaled(image);
  for (std::size_t d = 0; d < 8; ++d)
    EXPECT_FLOAT_EQ(rope(*scaled.store, 1)[d],
                    static_cast<float>(std::pow(5e5, -static_cast<double>(d) / 8)) / divisors[d]);
}

TEST(Gguf, Gemma3ScalesBySqrtHeadDimExceptFor62Layers) {
  GgufImage image = TinyGguf("gemma3");
  EXPECT_EQ(Opened(image)->spec().attn_scale, 0.25f);  // head_dim 16
  image.Set("gemma3.block_count", 4, {62});
  std::vector<GgufImage::Tensor> layer;
  for (const GgufImage::Tensor& tensor : image.tensors)
    if (tensor.name.starts_with("blk.0.")) layer.push_back(tensor);
  std::erase_if(image.tensors, [](const auto& tensor) { return tensor.name.starts_with("blk."); });
  for (int l = 0; l < 62; ++l)
    for (GgufImage::Tensor tensor : layer) {
      tensor.name = fmt::format("blk.{}.{}", l, tensor.name.substr(6));
      image.tensors.push_back(tensor);
    }
  EXPECT_FLOAT_EQ(Opened(image)->spec().attn_scale, static_cast<float>(1 / std::sqrt(48.0 / 4)));
}

TEST(Gguf, Gemma3WithoutAWindowIsFullEverywhere) {
  GgufImage image = TinyGguf("gemma3");
  image.Drop("gemma3.attention.sliding_window");
  EXPECT_EQ(Kinds(Opened(image)->spec()), "FFFFFFF");
  image = TinyGguf("gemma3");
  image.Set("gemma3.attention.sliding_window_pattern", 4, {3});
  EXPECT_EQ(Kinds(Opened(image)->spec()), "ssFssFs");
  image.Set("gemma3.attention.sliding_window_pattern", 7, {1, 0, 1, 1, 0, 1, 0}, true);
  EXPECT_EQ(Kinds(Opened(image)->spec()), "sFssFsF");
}

TEST(Gguf, AcceptsAnyIntegerWidthScalarOrArray) {
  const ModelSpec want = Opened(TinyGguf("gemma4-e2b-like"))->spec();
  for (const std::uint32_t type : {0u, 1u, 2u, 3u, 4u, 5u, 10u, 11u}) {
    GgufImage image = TinyGguf("gemma4-e2b-like");
    image.Set("gemma4.block_count", type, {10});
    image.Set("gemma4.attention.head_count", type, std::vector<double>(10, 4), true);
    image.Set("gemma4.attention.head_count_kv", type, {1}, true);
    image.Set("gemma4.feed_forward_length", type, {48, 48, 48, 48, 48, 96, 96, 96, 96, 96}, true);
    image.Set("gemma4.attention.sliding_window", type, {5});
    EXPECT_EQ(Opened(image)->spec(), want) << "GGUF type " << type;
  }
  for (const std::uint32_t type : {1u, 3u, 5u, 11u}) {
    GgufImage image = TinyGguf("gemma4-e2b-like");
    image.Set("gemma4.block_count", type, {-10});
    EXPECT_NE(Refusal(image).find("-10"), std::string::npos) << "signed GGUF type " << type << ": " << Refusal(image);
  }
  GgufImage image = TinyGguf("gemma4-e2b-like");
  image.Set("gemma4.rope.freq_base", 12, {1e6});  // f64
  image.Set("gemma4.attention.sliding_window_pattern", 4, {5});
  image.version = 2;
  EXPECT_EQ(Opened(image)->spec(), want);
}

// Qwen 2's geometry has rows of 64, whole blocks; as a llama it tells permuted rows from plain ones.
GgufImage BlockLlama() {
  GgufImage image = TinyGguf("qwen2");
  image.Rename("llama");
  for (int l = 0; l < 3; ++l)
    for (const char* name : {"q", "k", "v"}) image.Drop(fmt::format("blk.{}.attn_{}.bias", l, name));
  return image;
}

TEST(Gguf, UnpermutesLlamaQueriesAndKeysInAnyType) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0}) {
    SCOPED_TRACE(Name(type));
    GgufImage image = BlockLlama();
    for (const char* name : {"blk.1.attn_q.weight", "blk.1.attn_k.weight", "blk.1.attn_v.weight"})
      image.Convert(name, type);
    const Opened opened(image);
    const std::size_t row_bytes = StoredBytes(type, 1, 64);
    const auto expect_rows = [&](Role role, const std::string& name, bool permuted) {
      const HostTensor tensor = opened->Load({role, 1});
      EXPECT_EQ(tensor.type, type);
      const std::string got = Stored(tensor), &raw = image.TensorAt(name).data;
      ASSERT_EQ(got.size(), raw.size());
      for (std::size_t row = 0; row < raw.size() / row_bytes; ++row) {
        const std::size_t in_head = row % 16, from = permuted ? row - in_head + 2 * (in_head % 8) + in_head / 8 : row;
        EXPECT_EQ(got.substr(row * row_bytes, row_bytes), raw.substr(from * row_bytes, row_bytes))
            << name << " row " << row;
      }
    };
    expect_rows(Role::kQuery, "blk.1.attn_q.weight", true);
    expect_rows(Role::kKey, "blk.1.attn_k.weight", true);
    expect_rows(Role::kValue, "blk.1.attn_v.weight", false);
  }
  const GgufImage qwen = TinyGguf("qwen2");
  EXPECT_EQ(Stored(Opened(qwen)->Load({Role::kQuery, 1})), GgufImage(qwen).TensorAt("blk.1.attn_q.weight").data);
}

// The same tensors in two files of a split set, of which the first holds all metadata.
TEST(Gguf, OpensASplitSetFromItsFirstPart) {
  GgufImage whole = TinyGguf("qwen3");
  const Opened one(whole);
  GgufImage first = whole, second;
  second.tensors.assign(whole.tensors.begin() + 3, whole.tensors.end());
  first.tensors.resize(3);
  const auto number = [](GgufImage& image, double part, double tensors) {
    image.Set("split.no", 2, {part});
    image.Set("split.count", 2, {2});
    image.Set("split.tensors.count", 5, {tensors});
  };
  const auto tensors = static_cast<double>(whole.tensors.size());
  number(first, 0, tensors), number(second, 1, tensors);
  const ScratchFolder folder;
  const std::string head = folder.path() + "/m-00001-of-00002.gguf", tail = folder.path() + "/m-00002-of-00002.gguf";
  folder.Put("m-00001-of-00002.gguf", first.Bytes());
  EXPECT_NE(Complaint([&] { OpenModel(head); }).find("m-00002-of-00002.gguf"), std::string::npos);
  folder.Put("m-00002-of-00002.gguf", second.Bytes());
  const auto joined = OpenModel(head);
  for (const TensorEntry& entry : Catalogue(joined->spec()))
    EXPECT_EQ(ToFloats(joined->Load(entry.key)), ToFloats(one.store->Load(entry.key))) << Name(entry.key);
  EXPECT_NE(Complaint([&] { OpenModel(tail); }).find("open the first part"), std::string::npos);
  number(first, 0, tensors + 1);
  folder.Put("m-00001-of-00002.gguf", first.Bytes());
  EXPECT_NE(Complaint([&] { OpenModel(head); }).find("split.tensors.count"), std::string::npos);
}

TEST(Gguf, JoinsSplitExperts) {
  GgufImage split = TinyGguf("gemma4-moe-split-experts");
  const std::string gate = split.TensorAt("blk.1.ffn_gate_exps.weight").data,
                    up = split.TensorAt("blk.1.ffn_up_exps.weight").data;
  const std::size_t one = gate.size() / 8;
  std::string want;
  for (std::size_t e = 0; e < 8; ++e) want += gate.substr(e * one, one) + up.substr(e * one, one);
  const Opened opened(split);
  EXPECT_EQ(Stored(opened->Load({Role::kExpertGateUp, 1})), want);

  // Halves of different types become F32 and keep their values.
  split.Convert("blk.1.ffn_gate_exps.weight", DType::kBF16);
  const Opened mixed(split);
  const HostTensor joined = mixed->Load({Role::kExpertGateUp, 1});
  EXPECT_EQ(joined.type, DType::kF32);
  const std::vector<float> values = Floats(joined), exact = Floats(opened->Load({Role::kExpertGateUp, 1}));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool is_up = i / (24 * 48) % 2 == 1;
    ASSERT_EQ(values[i], is_up ? exact[i] : ToFloat(ToBF16(exact[i]))) << i;
  }
  split.Drop("blk.1.ffn_up_exps.weight");
  EXPECT_NE(Refusal(split).find("blk.1.ffn_gate_up_exps.weight"), std::string::npos);
}

TEST(Gguf, IgnoresDeadKeysAndOtherModalities) {
  GgufImage image = TinyGguf("gemma4-e2b-like");
  for (const char* name : {"attn_k.weight", "attn_v.weight", "attn_k_norm.weight"}) {
    GgufImage::Tensor dead = image.TensorAt("blk.3." + std::string(name));
    dead.name = "blk.6." + std::string(name);
    image.tensors.push_back(dead);
  }
  GgufImage::Tensor vision = image.TensorAt("blk.3.attn_k.weight");
  vision.name = "v.blk.0.attn_k.weight";
  image.tensors.push_back(vision);
  const Opened opened(image);
  EXPECT_FALSE(opened->Has({Role::kKey, 6}));
  EXPECT_TRUE(opened->Has({Role::kKey, 3}));
  EXPECT_THROW(opened->Load({Role::kKey, 6}), InputError);
  std::vector<std::string> unused;
  for (const StoredTensorInfo& info : opened->Listing())
    if (!info.used) unused.push_back(info.name);
  EXPECT_EQ(unused, (std::vector<std::string>{"blk.6.attn_k.weight", "blk.6.attn_v.weight", "blk.6.attn_k_norm.weight",
                                              "v.blk.0.attn_k.weight"}));
}

TEST(Gguf, OptionalTensorsMayBeAbsent) {
  GgufImage image = TinyGguf("gemma4-moe-fused-experts");
  image.Drop("blk.1.layer_output_scale.weight");
  image.Drop("blk.1.ffn_down_exps.scale");
  const Opened opened(image);
  EXPECT_FALSE(opened->Has({Role::kLayerScalar, 1}));
  EXPECT_FALSE(opened->Has({Role::kExpertScale, 1}));
  EXPECT_TRUE(opened->Has({Role::kLayerScalar, 0}));
}

TEST(Gguf, KeepsWhatIsStoredInMixedTypes) {
  GgufImage image = TinyGguf("gemma4-k-eq-v");
  image.Convert("token_embd.weight", DType::kQ8_0);
  image.Convert("blk.0.ffn_gate.weight", DType::kQ4_0);
  image.Convert("blk.0.ffn_up.weight", DType::kBF16);
  const Opened opened(image);
  EXPECT_EQ(opened->Load({Role::kEmbed}).type, DType::kQ8_0);
  EXPECT_EQ(opened->Load({Role::kGate, 0}).type, DType::kQ4_0);
  EXPECT_EQ(opened->Load({Role::kUp, 0}).type, DType::kBF16);
  EXPECT_EQ(Stored(opened->Load({Role::kGate, 0})), image.TensorAt("blk.0.ffn_gate.weight").data);
}

TEST(Gguf, IdentityIsOfTheBytes) {
  GgufImage image = TinyGguf("llama");
  const Opened one(image);
  image.TensorAt("blk.1.ffn_up.weight").data.back() ^= 1;
  const Opened other(image);
  EXPECT_NE(one->Identity(), other->Identity());
  EXPECT_NE(one->Identity(IdentityExtent::kWhole), other->Identity(IdentityExtent::kWhole));
}

TEST(Gguf, ListsShapesOutermostFirstAndIdentifiesByHeader) {
  GgufImage image = TinyGguf("llama");
  const Opened one(image), copy(image);
  EXPECT_EQ(one->Identity(), copy->Identity());
  EXPECT_EQ(one->Identity().size(), 64u);
  const StoredTensorInfo first = one->Listing().at(0);
  EXPECT_EQ(first.name, "token_embd.weight");
  EXPECT_EQ(first.shape, (std::vector<std::int64_t>{96, 48}));
  EXPECT_TRUE(first.used);
  image.Set("llama.rope.freq_base", 6, {10001});
  EXPECT_NE(Opened(image)->Identity(), one->Identity());
}

TEST(Gguf, RopeKeysThatAreAbsentHaveTheirDefaults) {
  GgufImage llama = TinyGguf("llama");
  const auto frequencies = [&] {
    const Opened file(llama);
    return file->spec().ropes.at(0).inv_freq;
  };
  llama.Set("llama.rope.freq_base", 6, {10000});
  const auto base = frequencies();
  llama.Drop("llama.rope.freq_base");
  EXPECT_EQ(frequencies(), base);
  llama.Set("llama.rope.scaling.factor", 6, {0});
  EXPECT_EQ(frequencies(), base) << "0 means none";
  llama.Drop("llama.rope.scaling.factor");
  llama.Set("llama.rope.scale_linear", 6, {4});  // the older key
  EXPECT_FLOAT_EQ(frequencies().at(1), base.at(1) / 4);

  GgufImage gemma = TinyGguf("gemma3");
  gemma.Set("gemma3.rope.freq_base_swa", 6, {10000});
  const Opened with(gemma);
  gemma.Drop("gemma3.rope.freq_base_swa");
  const Opened without(gemma);
  EXPECT_TRUE(with->spec().ropes == without->spec().ropes);
}

}  // namespace
}  // namespace assay

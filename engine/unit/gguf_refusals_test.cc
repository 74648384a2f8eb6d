// GGUF files that cannot be honoured: what the loader says of them.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "engine/testing/fixtures.h"
#include "engine/testing/gguf_fixture.h"

namespace assay {
namespace {

struct BadGguf {
  const char* name;
  const char* fixture;
  std::function<void(GgufImage&)> damage;
  std::vector<std::string> message;  // parts it must have
};

class GgufRefuses : public ::testing::TestWithParam<BadGguf> {};

TEST_P(GgufRefuses, WithAMessage) {
  GgufImage image = TinyGguf(GetParam().fixture);
  GetParam().damage(image);
  const std::string message = Refusal(image);
  EXPECT_FALSE(message.empty()) << "was accepted";
  for (const std::string& part : GetParam().message)
    EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
}

using I = GgufImage;
INSTANTIATE_TEST_SUITE_P(
    Gguf, GgufRefuses,
    ::testing::Values(
        BadGguf{"Architecture", "llama", [](I& i) { i.Rename("gemma4-assistant"); },
                {"gemma4-assistant", "gemma4, gemma3, llama, qwen2, qwen3"}},
        BadGguf{"Version1", "llama", [](I& i) { i.version = 1; }, {"version 1"}},
        BadGguf{"Version4", "llama", [](I& i) { i.version = 4; }, {"version 4"}},
        BadGguf{"BigEndian", "llama", [](I& i) { i.version = 0x03000000; }, {"big-endian"}},
        BadGguf{"Split", "llama", [](I& i) { i.Set("split.count", 2, {3}); }, {"split into 3"}},
        BadGguf{"NoTensors", "llama", [](I& i) { i.tensor_count = 0; }, {"0 tensors"}},
        BadGguf{"HugeTensorCount", "llama", [](I& i) { i.tensor_count = 1ull << 60; }, {"tensors"}},
        BadGguf{"HugeKeyCount", "llama", [](I& i) { i.field_count = ~0ull; }, {"metadata keys"}},
        BadGguf{"DuplicateKey", "llama", [](I& i) { i.fields.push_back(i.fields[3]); }, {"occurs twice"}},
        BadGguf{"DuplicateTensor", "llama", [](I& i) { i.tensors.push_back(i.tensors[3]); }, {"blk.0.attn_q.weight", "occurs twice"}},
        BadGguf{"LongName", "llama", [](I& i) { i.tensors[2].name = std::string(64, 'x'); }, {"tensor name of 64 bytes"}},
        BadGguf{"NameWithNewline", "llama", [](I& i) { i.tensors[2].name = "a\nb"; }, {"a\\nb"}},
        BadGguf{"ValueType", "llama", [](I& i) { i.fields[1].type = 13; }, {"unknown value type 13"}},
        BadGguf{"NestedArray", "llama", [](I& i) { i.Set("x", 9, {}, true); }, {"arrays of arrays"}},
        BadGguf{"BoolOfTwo", "llama", [](I& i) { i.At("tokenizer.ggml.add_bos_token").payload = "\2"; }, {"must be 0 or 1, found 2"}},
        BadGguf{"TensorType", "llama", [](I& i) { i.tensors[3].type = 77; }, {"blk.0.attn_q.weight", "unknown type 77"}},
        BadGguf{"UnsupportedType", "llama", [](I& i) { i.tensors[3].type = 16; }, {"IQ2_XXS"}},
        BadGguf{"IntegerWeights", "llama", [](I& i) { i.tensors[3].type = 26; }, {"attn_q", "I32"}},
        BadGguf{"PartialBlocks", "llama", [](I& i) { i.tensors[3].type = 12; }, {"blk.0.attn_q.weight", "multiple of 256"}},
        BadGguf{"Alignment", "llama", [](I& i) { i.Set("general.alignment", 4, {24}); }, {"general.alignment", "24"}},
        BadGguf{"AlignmentZero", "llama", [](I& i) { i.Set("general.alignment", 4, {0}); }, {"power of two"}},
        BadGguf{"OffsetUnaligned", "llama", [](I& i) { i.tensors[1].offset = 33; }, {"offset 33"}},
        BadGguf{"OffsetBeyond", "llama", [](I& i) { i.tensors[1].offset = ~0ull - 31; }, {"output_norm.weight", "leave the data section"}},
        BadGguf{"Overlap", "llama", [](I& i) { i.tensors[1].offset = 32; }, {"overlap"}},
        BadGguf{"ZeroDimension", "llama", [](I& i) { i.tensors[3].dims[1] = 0; }, {"at least 1, found 0"}},
        BadGguf{"ProductOverflow", "llama",
                [](I& i) { i.tensors[3].dims = {1ull << 40, 1ull << 40, 1ull << 40}; }, {"blk.0.attn_q.weight", "overflow"}},
        BadGguf{"Missing", "qwen3", [](I& i) { i.Drop("blk.1.ffn_up.weight"); }, {"blk.1.ffn_up.weight", "missing", "layer 1 up"}},
        BadGguf{"Misshapen", "qwen3", [](I& i) { i.TensorAt("blk.1.ffn_down.weight").dims = {48, 64}; },
                {"blk.1.ffn_down.weight", "[64, 48, 1, 1]", "[48, 64, 1, 1]"}},
        BadGguf{"SlidingWithoutValues", "gemma4-k-eq-v", [](I& i) { i.Drop("blk.0.attn_v.weight"); }, {"blk.0.attn_v.weight"}},
        BadGguf{"UnknownBias", "llama",
                [](I& i) {
                  i.tensors.push_back(i.TensorAt("blk.0.attn_norm.weight"));
                  i.tensors.back().name = "blk.0.attn_output.bias";
                },
                {"blk.1.attn_output.bias", "missing"}},
        BadGguf{"MissingKey", "llama", [](I& i) { i.Drop("llama.attention.layer_norm_rms_epsilon"); },
                {"llama.attention.layer_norm_rms_epsilon", "missing"}},
        BadGguf{"StringForNumber", "llama", [](I& i) { i.SetString("llama.block_count", "3"); }, {"llama.block_count", "string"}},
        BadGguf{"NegativeHidden", "llama", [](I& i) { i.Set("llama.embedding_length", 5, {-48}); }, {"-48"}},
        BadGguf{"ZeroHeads", "llama", [](I& i) { i.Set("llama.attention.head_count", 4, {0}); }, {"head_count"}},
        BadGguf{"TooManyLayers", "llama", [](I& i) { i.Set("llama.block_count", 4, {1025}); }, {"1025"}},
        BadGguf{"MoreLayersThanTensors", "llama", [](I& i) { i.Set("llama.block_count", 4, {1000}); }, {"1000 layers claimed"}},
        BadGguf{"FewerLayers", "llama", [](I& i) { i.Set("llama.block_count", 4, {2}); }, {"blk.2.", "2 layers"}},
        BadGguf{"ArrayOfWrongLength", "gemma4-k-eq-v",
                [](I& i) { i.Set("gemma4.attention.head_count_kv", 4, {4, 4, 1, 4, 4}, true); }, {"head_count_kv", "found 5"}},
        BadGguf{"TokensAndRows", "llama", [](I& i) { i.SetStrings("tokenizer.ggml.tokens", {"a", "b"}); }, {"2 tokens", "96 rows"}},
        BadGguf{"Yarn", "qwen2", [](I& i) { i.SetString("qwen2.rope.scaling.type", "yarn"); }, {"yarn"}},
        BadGguf{"NotCausal", "llama", [](I& i) { i.Set("llama.attention.causal", 7, {0}); }, {"llama.attention.causal"}},
        BadGguf{"UnknownArithmetic", "llama", [](I& i) { i.Set("llama.residual_scale", 6, {0.5}); }, {"llama.residual_scale"}},
        BadGguf{"Adapter", "llama", [](I& i) { i.SetString("general.type", "adapter"); }, {"LoRA adapter"}},
        BadGguf{"Experts", "llama", [](I& i) { i.Set("llama.expert_count", 4, {8}); }, {"mixture of experts"}},
        BadGguf{"PartialRotation", "llama", [](I& i) { i.Set("llama.rope.dimension_count", 4, {8}); }, {"8 of 16"}},
        BadGguf{"ValueLength", "llama", [](I& i) { i.Set("llama.attention.value_length", 4, {8}); }, {"value_length"}},
        BadGguf{"NanEpsilon", "llama",
                [](I& i) { i.Set("llama.attention.layer_norm_rms_epsilon", 6, {std::nan("")}); }, {"epsilon", "nan"}},
        BadGguf{"RopeDivisorZero", "llama3-rope-freqs",
                [](I& i) { i.TensorAt("rope_freqs.weight").data.replace(0, 4, std::string(4, '\0')); }, {"divisors"}},
        BadGguf{"RopeDivisorCount", "llama3-rope-freqs",
                [](I& i) { i.TensorAt("rope_freqs.weight").dims = {4}; }, {"rope_freqs.weight", "8"}},
        BadGguf{"SharedWithoutDonor", "gemma4-e2b-like", [](I& i) { i.Set("gemma4.attention.shared_kv_layers", 4, {6}); },
                {"shares keys and values"}},
        BadGguf{"TopK", "gemma4-moe-fused-experts", [](I& i) { i.Set("gemma4.expert_used_count", 4, {9}); }, {"top_k"}}),
    [](const auto& at) { return at.param.name; });

TEST(Gguf, RefusesFilesThatCannotBeRead) {
  ScratchFolder folder;
  const auto refused = [](const std::string& path, const std::string& part) {
    try {
      OpenGguf(path);
      ADD_FAILURE() << path << " was accepted";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused(folder.path() + "/absent.gguf", "No such file");
  refused(folder.path(), "folder");
  refused(folder.Put("empty.gguf", ""), "empty");
  refused(folder.Put("short.gguf", "GG"), "truncated");
  refused(folder.Put("other.gguf", "PK\3\4 not a model at all"), "not a GGUF file");
  const std::string pipe = folder.path() + "/pipe.gguf";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  refused(pipe, "regular file");
  const std::string secret = folder.Put("secret.gguf", TinyGguf("llama").Bytes());
  // Permissions do not bind root: read as nobody.
  std::filesystem::permissions(folder.path(), std::filesystem::perms::all);
  std::filesystem::permissions(secret, std::filesystem::perms::none);
  const bool root = geteuid() == 0;
  ASSERT_TRUE(!root || seteuid(65534) == 0);
  refused(secret, "Permission denied");
  ASSERT_TRUE(!root || seteuid(0) == 0);
}

TEST(Gguf, AFileThatShrinksWhileOpenIsAnError) {
  ScratchFolder folder;
  const GgufImage image = TinyGguf("llama");
  const std::string bytes = image.Bytes(), path = folder.Put("model.gguf", bytes);
  const auto store = OpenGguf(path);
  EXPECT_NO_THROW(store->Load({Role::kDown, 2}));
  std::filesystem::resize_file(path, bytes.size() / 2);
  for (const TensorEntry& entry : Catalogue(store->spec())) {
    try {
      store->Load(entry.key);
      ADD_FAILURE() << Name(entry.key) << " was read from a file that shrank";
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace assay

// Hugging Face folders: prefixes, shards, split experts, dead tensors, "1 + w" norms, misshapen and missing tensors,
// size of an open.
#include "engine/weights/hugging_face.h"
#include "engine/testing/fixtures.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "engine/model/presets.h"
#include "engine/testing/checkpoint_files.h"
#include "engine/testing/complaint.h"
#include "engine/weights/hf_config.h"

namespace assay {
namespace {

const std::string kFixtures = Fixture("");

const char* const kMixture =
    R"({"model_type": "gemma4_text", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 4, "global_head_dim": 6, "intermediate_size": 5, "sliding_window": 4,
  "hidden_size_per_layer_input": 0, "vocab_size": 10, "attention_k_eq_v": true, "enable_moe_block": true, "num_experts": 2,
  "top_k_experts": 1, "moe_intermediate_size": 3})";
const char* const kGemma3 =
    R"({"model_type": "gemma3_text", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 4, "intermediate_size": 5, "sliding_window": 4, "vocab_size": 10,
  "max_position_embeddings": 64, "query_pre_attn_scalar": 4})";
const char* const kLlama =
    R"({"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 4, "intermediate_size": 5, "vocab_size": 10, "max_position_embeddings": 64,
  "tie_word_embeddings": false})";

// Every tensor of the config's catalogue under its first name; values count up so that each element is another one.
std::vector<TestTensor> TensorsOf(const std::string& config, const std::string& prefix) {
  const ModelSpec spec = SpecFromHfConfig(config, "config", "test");
  std::vector<TestTensor> tensors;
  float next = 1;
  for (const TensorEntry& entry : Catalogue(spec)) {
    TestTensor tensor;
    tensor.name = (entry.key.role == Role::kHead ? "" : prefix) + HuggingFaceNames(spec, entry.key)[0];
    if (entry.experts > 1) tensor.shape.push_back(entry.experts);
    if (entry.rows > 1) tensor.shape.push_back(entry.rows);
    tensor.shape.push_back(entry.cols);
    for (std::int64_t i = 0; i < entry.elements(); ++i) tensor.values.push_back(next = next < 250 ? next + 1 : 1);
    tensors.push_back(tensor);
  }
  return tensors;
}

TestTensor& Named(std::vector<TestTensor>& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const TestTensor& t) { return t.name == name; });
  Require(found != tensors.end(), "the test has no tensor '{}'", name);
  return *found;
}

void WriteModel(const ScratchFolder& folder, const std::string& config, const std::vector<TestTensor>& tensors) {
  folder.Put("config.json", config);
  folder.Put("model.safetensors", SafetensorsBytes(tensors));
}

std::map<TensorKey, std::vector<float>> AllValues(const WeightStore& store) {
  std::map<TensorKey, std::vector<float>> values;
  for (const TensorEntry& entry : Catalogue(store.spec()))
    if (store.Has(entry.key)) values[entry.key] = ToFloats(store.Load(entry.key));
  return values;
}

TEST(HuggingFace, OpensEveryFixtureAndReadsEveryTensor) {
  std::vector<std::string> folders{"/models/gemma4-nano", "/models/gemma4-nano-moe", "/models/qwen3-nano"};
  for (const char* name : {"gemma3", "gemma4-12b", "gemma4-26b-a4b", "gemma4-31b", "gemma4-e2b", "gemma4-e4b", "llama3",
                           "mistral", "qwen2", "qwen3"})
    folders.push_back(std::string("/goldens/hf-tiny/") + name);
  for (const std::string& name : folders) {
    SCOPED_TRACE(name);
    const auto store = OpenModel(kFixtures + name);
    EXPECT_EQ(store->format(), "safetensors");
    for (const TensorEntry& entry : Catalogue(store->spec())) {
      ASSERT_TRUE(store->Has(entry.key)) << Name(entry.key);
      const HostTensor tensor = store->Load(entry.key);
      EXPECT_EQ(tensor.experts * tensor.rows * tensor.cols, entry.elements());
      EXPECT_EQ(ToFloats(tensor).size(), static_cast<std::size_t>(entry.elements()));
    }
    for (const StoredTensorInfo& info : store->Listing())
      EXPECT_TRUE(info.used || Contains(info.name, "lm_head")) << info.name;
  }
}

TEST(Loaders, EmbeddedModelsHaveNoUnexplainedKeyOrTensor) {
  int models = 0;
  for (const char* kind : {"/goldens/hf-tiny", "/goldens/gguf-tiny", "/models"})
    for (const auto& entry : std::filesystem::directory_iterator(kFixtures + kind)) {
      if (!entry.is_directory() && entry.path().extension() != ".gguf") continue;
      SCOPED_TRACE(entry.path().string());
      const auto store = OpenModel(entry.path().string());
      ++models;
      for (const UnreadKey& key : store->UnreadKeys()) EXPECT_NE(key.reason, "") << key.key;
      for (const StoredTensorInfo& info : store->Listing()) EXPECT_TRUE(info.used || !info.reason.empty()) << info.name;
    }
  EXPECT_EQ(models, 23);
}

TEST(HuggingFace, AllPrefixesGiveTheSameModel) {
  std::map<TensorKey, std::vector<float>> first;
  for (const char* prefix : {"model.language_model.", "language_model.model.", "language_model.", "model.", ""}) {
    const ScratchFolder folder;
    std::vector<TestTensor> tensors = TensorsOf(kMixture, prefix);
    tensors.push_back({"model.vision_tower.patch.weight", {2, 2}, {}});
    WriteModel(folder, kMixture, tensors);
    const auto store = OpenHuggingFace(folder.path());
    const auto values = AllValues(*store);
    if (first.empty()) first = values;
    EXPECT_EQ(values, first) << prefix;
    for (const StoredTensorInfo& info : store->Listing())
      EXPECT_EQ(info.used, !Contains(info.name, "vision")) << info.name;
  }
}

TEST(HuggingFace, SplitExpertsAreJoinedGateFirst) {
  const ScratchFolder fused_folder, split_folder;
  std::vector<TestTensor> tensors = TensorsOf(kMixture, "model.");
  WriteModel(fused_folder, kMixture, tensors);
  std::vector<TestTensor> split;
  for (const TestTensor& tensor : tensors) {
    const std::size_t at = tensor.name.find("experts.gate_up_proj"), down = tensor.name.find("experts.down_proj");
    if (at == std::string::npos && down == std::string::npos) {
      split.push_back(tensor);
      continue;
    }
    const std::string base = tensor.name.substr(0, at == std::string::npos ? down : at);
    auto value = tensor.values.begin();
    for (int e = 0; e < 2; ++e) {
      const std::vector<const char*> parts =
          at == std::string::npos ? std::vector<const char*>{"down"} : std::vector<const char*>{"gate", "up"};
      for (const char* part : parts) {
        const std::vector<std::int64_t> shape =
            at == std::string::npos ? std::vector<std::int64_t>{8, 3} : std::vector<std::int64_t>{3, 8};
        split.push_back(
            {base + "experts." + std::to_string(e) + "." + part + "_proj.weight", shape, {value, value + 24}});
        value += 24;
      }
    }
  }
  WriteModel(split_folder, kMixture, split);
  EXPECT_EQ(AllValues(*OpenHuggingFace(split_folder.path())), AllValues(*OpenHuggingFace(fused_folder.path())));
  split.erase(
      std::find_if(split.begin(), split.end(), [](const TestTensor& t) { return Contains(t.name, "1.experts.1.up"); }));
  WriteModel(split_folder, kMixture, split);
  EXPECT_TRUE(Contains(Complaint([&] { OpenHuggingFace(split_folder.path()); }),
                       "layers.1.experts.1.up_proj.weight' is missing"));
}

TEST(HuggingFace, Gemma3NormsHaveOneAdded) {
  const ScratchFolder folder;
  std::vector<TestTensor> tensors = TensorsOf(kGemma3, "model.");
  Named(tensors, "model.layers.1.self_attn.q_norm.weight").values = {-0.5f, 0.0f, 0.00390625f, 2.0f};
  WriteModel(folder, kGemma3, tensors);
  const auto store = OpenHuggingFace(folder.path());
  const HostTensor norm = store->Load({Role::kQueryNorm, 1});
  EXPECT_EQ(norm.type, DType::kF32);  // 1 + 2^-8 is no bf16 number
  EXPECT_EQ(ToFloats(norm), (std::vector<float>{0.5f, 1.0f, 1.00390625f, 3.0f}));
  const TestTensor& query = Named(tensors, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(ToFloats(store->Load({Role::kQuery, 1})), query.values);
}

TEST(HuggingFace, DeadKeysAndATiedHeadAreListedAsUnused) {
  std::string config = kMixture;
  config.replace(config.find("\"num_hidden_layers\": 2"), 22,
                 "\"num_hidden_layers\": 4, \"num_kv_shared_layers\": 1, "
                 "\"layer_types\": [\"sliding_attention\", \"full_attention\", "
                 "\"sliding_attention\", \"full_attention\"]");
  const ScratchFolder folder;
  std::vector<TestTensor> tensors = TensorsOf(config, "model.");
  tensors.push_back({"model.layers.3.self_attn.k_proj.weight", {6, 8}, {}});
  TestTensor head = Named(tensors, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  tensors.push_back(head);
  WriteModel(folder, config, tensors);
  const auto store = OpenHuggingFace(folder.path());
  EXPECT_FALSE(store->Has({Role::kKey, 3}));
  EXPECT_FALSE(store->Has({Role::kHead}));
  EXPECT_TRUE(Contains(Complaint([&] { store->Load({Role::kKey, 3}); }), "layer 3 key"));
  int unused = 0;
  for (const StoredTensorInfo& info : store->Listing()) {
    unused += !info.used;
    EXPECT_EQ(info.used, info.reason.empty()) << info.name;
  }
  EXPECT_EQ(unused, 2);
}

TEST(HuggingFace, AHeadThatDiffersFromTheEmbeddingIsTheModels) {
  const ScratchFolder folder;
  std::vector<TestTensor> tensors = TensorsOf(kMixture, "model.");
  TestTensor head = Named(tensors, "model.embed_tokens.weight");
  head.name = "lm_head.weight";
  head.values[3] += 1;
  tensors.push_back(head);
  WriteModel(folder, kMixture, tensors);
  const auto store = OpenHuggingFace(folder.path());
  EXPECT_FALSE(store->spec().tied_head);
  EXPECT_EQ(ToFloats(store->Load({Role::kHead})), head.values);
  ASSERT_EQ(store->Notes().size(), 1u);
  EXPECT_TRUE(Contains(store->Notes()[0], "the stored head is used"));
}

TEST(HuggingFace, ATiedFileMayHoldTheHeadAlone) {
  const ScratchFolder folder;
  std::vector<TestTensor> tensors = TensorsOf(kMixture, "language_model.");
  const std::vector<float> values = Named(tensors, "language_model.embed_tokens.weight").values;
  for (TestTensor& tensor : tensors)
    if (tensor.name == "language_model.embed_tokens.weight") tensor.name = "lm_head.weight";
  WriteModel(folder, kMixture, tensors);
  const auto store = OpenHuggingFace(folder.path());
  EXPECT_TRUE(store->spec().tied_head);
  EXPECT_EQ(ToFloats(store->Load({Role::kEmbed})), values);
}

TEST(HuggingFace, OptionalScalarsMayBeAbsentOrScalar) {
  const ScratchFolder folder;
  std::vector<TestTensor> tensors = TensorsOf(kMixture, "model.");
  std::erase_if(tensors, [](const TestTensor& t) {
    return Contains(t.name, "layers.0.layer_scalar") || Contains(t.name, "per_expert_scale");
  });
  Named(tensors, "model.layers.1.layer_scalar").shape = {};
  WriteModel(folder, kMixture, tensors);
  const auto store = OpenHuggingFace(folder.path());
  EXPECT_FALSE(store->Has({Role::kLayerScalar, 0}));
  EXPECT_TRUE(store->Has({Role::kLayerScalar, 1}));
  EXPECT_FALSE(store->Has({Role::kExpertScale, 1}));
}

TEST(HuggingFace, NamesMissingAndMisshapenTensors) {
  const ScratchFolder folder;
  for (const TestTensor& victim : TensorsOf(kLlama, "model.")) {
    std::vector<TestTensor> without = TensorsOf(kLlama, "model."), misshapen = without;
    std::erase_if(without, [&](const TestTensor& t) { return t.name == victim.name; });
    WriteModel(folder, kLlama, without);
    EXPECT_TRUE(Contains(Complaint([&] { OpenHuggingFace(folder.path()); }), victim.name)) << victim.name;
    Named(misshapen, victim.name).shape.push_back(1);
    WriteModel(folder, kLlama, misshapen);
    const std::string complaint = Complaint([&] { OpenHuggingFace(folder.path()); });
    EXPECT_TRUE(Contains(complaint, victim.name) || Contains(complaint, "vocab_size")) << complaint;
  }
  std::string header = R"({"model.embed_tokens.weight":{"dtype":"I64","shape":[10,8],"data_offsets":[0,640]}})";
  folder.Put("model.safetensors", SafetensorsBytes(header, std::string(640, '\0')));
  EXPECT_TRUE(Contains(Complaint([&] { OpenHuggingFace(folder.path()); }), "type I64 is not supported"));
}

// From the headers alone: no engine has allocated anything by then.
TEST(HuggingFace, ScalesOfTheWrongShapeAreRefusedWhenOpened) {
  const ScratchFolder folder;
  int scales = 0;
  for (const TestTensor& scale : TensorsOf(kMixture, "model.")) {
    if (!Contains(scale.name, "scale") && !Contains(scale.name, "scalar")) continue;
    ++scales;
    std::vector<TestTensor> tensors = TensorsOf(kMixture, "model.");
    const std::int64_t expected = scale.shape.at(0);
    Named(tensors, scale.name) = {scale.name, {expected + 1}, {}};
    WriteModel(folder, kMixture, tensors);
    const std::string complaint = Complaint([&] { OpenModel(folder.path()); });
    EXPECT_TRUE(Contains(complaint, scale.name)) << complaint;
    EXPECT_TRUE(Contains(complaint, fmt::format("expected shape [{}], found [{}]", expected, expected + 1)))
        << complaint;
  }
  EXPECT_EQ(scales, 6) << "of each layer its own, its router's and its experts'";
}

TEST(HuggingFace, SaysWhichFileIsMissing) {
  const ScratchFolder folder;
  EXPECT_TRUE(Contains(Complaint([&] { OpenModel(folder.path()); }), "no config.json"));
  folder.Put("config.json", kLlama);
  EXPECT_TRUE(Contains(Complaint([&] { OpenModel(folder.path()); }), "model.safetensors"));
  WriteModel(folder, R"({"model_type": "gemma3n"})", {{"x", {1}, {}}});
  EXPECT_TRUE(Contains(Complaint([&] { OpenModel(folder.path()); }), "'gemma3n' is not supported"));
  EXPECT_TRUE(Contains(Complaint([&] { OpenModel("no-such-model"); }), "neither a folder"));
  EXPECT_TRUE(Contains(Complaint([&] { OpenModel(folder.Put("model.bin", "x")); }), "expected a folder"));
}

// The tensors of kLlama dealt over two files, and the index that says where each is.
std::string WriteShards(const ScratchFolder& folder, const std::vector<TestTensor>& tensors) {
  folder.Put("config.json", kLlama);
  std::vector<TestTensor> shards[2];
  std::string map;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    shards[i % 2].push_back(tensors[i]);
    map += std::string(map.empty() ? "" : ",") + "\"" + tensors[i].name + "\":\"model-0000" +
           std::to_string(i % 2 + 1) + "-of-00002.safetensors\"";
  }
  for (std::size_t s = 0; s < 2; ++s)
    folder.Put("model-0000" + std::to_string(s + 1) + "-of-00002.safetensors", SafetensorsBytes(shards[s]));
  return map;
}

TEST(HuggingFace, ShardsGiveTheSameModelAsOneFile) {
  const ScratchFolder single, sharded;
  const std::vector<TestTensor> tensors = TensorsOf(kLlama, "model.");
  WriteModel(single, kLlama, tensors);
  const std::string map = WriteShards(sharded, tensors);
  sharded.Put("model.safetensors.index.json", R"({"metadata":{"total_size":5},"weight_map":{)" + map + "}}");
  const auto one = OpenHuggingFace(single.path()), two = OpenHuggingFace(sharded.path());
  EXPECT_EQ(AllValues(*one), AllValues(*two));
  EXPECT_EQ(two->Identity(), OpenHuggingFace(sharded.path())->Identity());
  EXPECT_NE(two->Identity(), one->Identity());
}

TEST(HuggingFace, RefusesTricksInTheIndex) {
  const ScratchFolder folder;
  const std::string map = WriteShards(folder, TensorsOf(kLlama, "model."));
  const auto complain = [&](const std::string& text) {
    folder.Put("model.safetensors.index.json", text);
    return Complaint([&] { OpenHuggingFace(folder.path()); });
  };
  EXPECT_TRUE(Contains(complain("[]"), "weight_map"));
  EXPECT_TRUE(Contains(complain(R"({"weight_map":{}})"), "weight_map is empty"));
  EXPECT_TRUE(Contains(complain(R"({"weight_map":{"a":5}})"), "not mapped to a file name"));
  EXPECT_EQ(complain("{\"weight_map\":{" + map + R"(,"mtp.fc.weight":"model-00001-of-00002.safetensors"}})"), "");
  std::string wrong = map;
  const std::size_t digit = wrong.find("\"model.norm.weight\":\"model-0000") + 31;
  wrong[digit] = wrong[digit] == '1' ? '2' : '1';
  EXPECT_TRUE(Contains(complain("{\"weight_map\":{" + wrong + "}}"), "which does not hold it"));
  EXPECT_TRUE(Contains(complain(R"({"weight_map":{"a":"absent.safetensors"}})"), "cannot open"));
  EXPECT_TRUE(Contains(complain("{\"weight_map\":{" + map + "," + map + "}}"), "appears twice"));
  for (const char* name :
       {"/etc/passwd", "../x.safetensors", "a/b.safetensors", "a\\\\b.safetensors", "..safetensors", "a..b.safetensors",
        ".safetensors", "model.bin", "", "x\\u0000.safetensors", "/x.safetensors"})
    EXPECT_TRUE(Contains(complain(std::string(R"({"weight_map":{"a":")") + name + "\"}}"), "not the plain name"))
        << name;
}

TEST(HuggingFace, AFileThatShrinksAfterOpeningIsAnErrorAndNoCrash) {
  const ScratchFolder folder;
  WriteModel(folder, kLlama, TensorsOf(kLlama, "model."));
  const auto store = OpenHuggingFace(folder.path());
  ASSERT_EQ(::truncate((folder.path() + "/model.safetensors").c_str(), 100), 0);
  EXPECT_TRUE(Contains(Complaint([&] { store->Load({Role::kDown, 1}); }), "down_proj"));
  EXPECT_TRUE(Contains(Complaint([&] { store->Identity(); }), "header"));
}

// Llama-3.1-8B's 16 GB in four sparse files: opening reads headers only.
TEST(HuggingFace, OpensSixteenGigabytesInNoTimeAndMemory) {
  const ScratchFolder folder;
  folder.Put("config.json",
             R"({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "max_position_embeddings": 131072, "rope_theta": 500000.0, "vocab_size": 128256})");
  const ModelSpec spec = Preset("llama-3.1-8b");
  std::string headers[4], map;
  std::uint64_t ends[4] = {};
  std::size_t next = 0;
  for (const TensorEntry& entry : Catalogue(spec)) {
    const std::size_t s = next++ % 4;
    const std::string name = (entry.key.role == Role::kHead ? "" : "model.") + HuggingFaceNames(spec, entry.key)[0];
    const std::uint64_t end = ends[s] + static_cast<std::uint64_t>(entry.elements()) * 2;
    headers[s] += (headers[s].empty() ? "{\"" : ",\"") + name + "\":{\"dtype\":\"BF16\",\"shape\":[" +
                  (entry.rows > 1 ? std::to_string(entry.rows) + "," : "") + std::to_string(entry.cols) +
                  "],\"data_offsets\":[" + std::to_string(ends[s]) + "," + std::to_string(end) + "]}";
    ends[s] = end;
    map += std::string(map.empty() ? "" : ",") + "\"" + name + "\":\"s" + std::to_string(s) + ".safetensors\"";
  }
  std::uint64_t total = 0;
  for (std::size_t s = 0; s < 4; ++s) {
    const std::string path =
        folder.Put("s" + std::to_string(s) + ".safetensors", SafetensorsBytes(headers[s] + "}", ""));
    std::error_code error;
    std::filesystem::resize_file(path, std::filesystem::file_size(path) + ends[s], error);
    if (error) GTEST_SKIP() << "the file system refuses sparse files of this size: " << error.message();
    total += ends[s];
  }
  EXPECT_GT(total, 16'000'000'000u);
  folder.Put("model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  const auto start = std::chrono::steady_clock::now();
  const auto store = OpenHuggingFace(folder.path());
  const std::size_t listed = store->Listing().size();
  const std::string identity = store->Identity();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  getrusage(RUSAGE_SELF, &after);
  EXPECT_EQ(listed, 291u);
  EXPECT_EQ(identity.size(), 64u);
  EXPECT_LT(seconds, 1.0);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 50 * 1024);  // KiB
}

// A tensor of 4 MiB: eight blocks of 4 KiB are looked at, the first and the last bytes among them.
TEST(HuggingFace, IdentityIsOfTheBytesThatItSaysItLooksAt) {
  const ScratchFolder folder, cache;
  const char* const before = std::getenv("XDG_CACHE_HOME");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  const std::string small = Fixture("goldens/hf-tiny/llama3/");
  folder.Put("config.json", BytesOfFile(small + "config.json"));
  std::string weights = BytesOfFile(small + "model.safetensors");
  // One more tensor at the end, which nothing reads.
  std::uint64_t length = 0;
  std::memcpy(&length, weights.data(), sizeof length);
  constexpr std::size_t kBytes = std::size_t{4} << 20;
  const std::size_t data = weights.size() - 8 - length;
  std::string header = weights.substr(8, length);
  header.erase(header.find_last_of('}'));
  header += fmt::format(",\"vision_tower.x\":{{\"dtype\":\"U8\",\"shape\":[{}],\"data_offsets\":[{},{}]}}}}", kBytes,
                        data, data + kBytes);
  weights = SafetensorsBytes(header, weights.substr(8 + length) + std::string(kBytes, 'w'));
  const std::size_t begin = weights.size() - kBytes;
  const auto identities = [&](std::size_t at) {
    std::string changed = weights;
    if (at < kBytes) changed[begin + at] ^= 1;
    folder.Put("model.safetensors", changed);
    const auto store = OpenHuggingFace(folder.path());
    return std::pair{store->Identity(), store->Identity(IdentityExtent::kWhole)};
  };
  const auto whole = identities(kBytes), again = identities(kBytes);
  EXPECT_EQ(whole, again);
  for (const std::size_t seen : {std::size_t{0}, std::size_t{4095}, (kBytes - 4096) / 7, kBytes - 4096, kBytes - 1}) {
    EXPECT_NE(identities(seen).first, whole.first) << seen;
    EXPECT_NE(identities(seen).second, whole.second) << seen;
  }
  const auto unseen = identities(4096);
  EXPECT_EQ(unseen.first, whole.first);
  EXPECT_NE(unseen.second, whole.second);
  // What was made of every byte is kept by size and time: the second store reads it.
  std::size_t cached = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(cache.path())) {
    cached += entry.is_regular_file() ? 1 : 0;
    if (entry.is_regular_file()) std::ofstream(entry.path()) << std::string(64, 'a') << '\n';
  }
  EXPECT_GE(cached, 1u);
  const auto store = OpenHuggingFace(folder.path());
  EXPECT_NE(store->Identity(IdentityExtent::kWhole), unseen.second);
  before == nullptr ? ::unsetenv("XDG_CACHE_HOME") : ::setenv("XDG_CACHE_HOME", kept.c_str(), 1);
}

}  // namespace
}  // namespace assay

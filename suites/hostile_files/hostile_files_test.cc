// Damaged and hostile model files. Whatever the bytes, a model either opens and loads, or exactly one InputError says
// which file is wrong: no other exception, no crash (the suite is run under sanitizers), no memory beyond a budget set
// by the files' size.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/testing/gguf_image.h"
#include "engine/testing/scratch_folder.h"
#include "engine/weights/finite.h"
#include "engine/weights/gguf.h"
#include "engine/weights/hugging_face.h"
#include "suites/hostile_files/counted_memory.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

// The budget: kFloor + kFactor x bytes of all files of the model. The factor covers parsed headers, permuted and joined
// copies and decoded rows; the floor what opening anything costs.
constexpr std::size_t kFloor = 512u << 10, kFactor = 8;

const std::string kGguf = ASSAY_FIXTURES "/goldens/gguf-tiny/";
const std::string kHuggingFace = ASSAY_FIXTURES "/goldens/hf-tiny/";

enum class Want { kEither, kRefused, kAccepted };

std::unique_ptr<WeightStore> Open(const std::string& path) {
  return fs::is_directory(path) ? OpenHuggingFace(path) : OpenGguf(path);
}

std::size_t BytesOf(const std::string& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  std::size_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

// Opens and loads everything, one damaged model after the other, and keeps the tally.
class Tally {
 public:
  // Waking threads for thousands of tiny tensors would take most of the time.
  Tally() { omp_set_num_threads(1); }
  ~Tally() {
    omp_set_num_threads(threads_);
    ::testing::Test::RecordProperty("files", files_);
    ::testing::Test::RecordProperty("accepted", accepted_);
    std::printf("%d files, %d accepted, worst memory %.2f of the budget\n", files_, accepted_, worst_);
  }

  // Returns the message; empty when accepted.
  std::string Try(const std::string& path, const std::string& what, Want want = Want::kEither) {
    ++files_;
    std::string message;
    bool refused = false;
    StartCounting();
    try {
      const auto store = Open(path);
      for (const TensorEntry& entry : Catalogue(store->spec()))
        if (store->Has(entry.key)) RequireFinite(store->Load(entry.key));
    } catch (const InputError& error) {
      refused = true;
      message = error.what();
    } catch (const std::exception& error) {
      ADD_FAILURE() << what << ": not an InputError: " << error.what();
    } catch (...) {
      ADD_FAILURE() << what << ": an exception of no known type";
    }
    const MemoryUse use = StopCounting();
    const std::size_t budget = kFloor + kFactor * BytesOf(path);
    worst_ = std::max(worst_, static_cast<double>(std::max(use.peak, use.largest)) / static_cast<double>(budget));
    EXPECT_LE(use.peak, budget) << what << ": memory";
    EXPECT_LE(use.largest, budget) << what << ": one allocation";
    accepted_ += refused ? 0 : 1;
    if (want != Want::kEither) {
      EXPECT_EQ(refused, want == Want::kRefused) << what << ": " << message;
    }
    if (refused) {
      EXPECT_NE(message.find(path), std::string::npos) << what << ": names no file: " << message;
      EXPECT_LT(message.size(), 1000 + 4 * path.size()) << what;
      for (const char c : message)
        EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20) << what << ": control character in: " << message;
    }
    return message;
  }

  int files() const { return files_; }

 private:
  const int threads_ = omp_get_max_threads();
  int files_ = 0, accepted_ = 0;
  double worst_ = 0;
};

// Numbers from a fixed seed.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  std::size_t Below(std::size_t end) { return RandomBits(seed_, next_++) % end; }

 private:
  std::uint64_t seed_, next_ = 0;
};

std::string Flipped(std::string bytes, std::size_t end, Dice& dice) {
  const std::size_t flips = 1 + dice.Below(3);
  for (std::size_t i = 0; i < flips; ++i) {
    char& byte = bytes[dice.Below(end)];
    byte = static_cast<char>(dice.Below(2) == 0 ? byte ^ (1 << dice.Below(8)) : static_cast<int>(dice.Below(256)));
  }
  return bytes;
}

TEST(HostileGguf, TruncatedAtEveryField) {
  ScratchFolder folder;
  Tally tally;
  for (const char* name : {"llama", "gemma4-moe-split-experts"}) {
    std::vector<std::size_t> ends;
    const std::string bytes = GgufImage::Read(kGguf + name + ".gguf").Bytes(&ends);
    for (const std::size_t end : ends)
      for (const std::size_t cut : {end - 1, end})
        tally.Try(folder.Put("model.gguf", bytes.substr(0, cut)), fmt::format("{} cut at {}", name, cut),
                  Want::kRefused);
    for (const std::size_t missing : {std::size_t{1}, std::size_t{31}, bytes.size() / 2})
      tally.Try(folder.Put("model.gguf", bytes.substr(0, bytes.size() - missing)),
                fmt::format("{} without its end", name), Want::kRefused);
  }
  EXPECT_GE(tally.files(), 1500);
}

TEST(HostileGguf, FlippedBytes) {
  ScratchFolder folder;
  Tally tally;
  Dice dice(1);
  for (const char* name : {"llama", "gemma4-moe-fused-experts", "gemma3-linear-rope", "llama3-rope-freqs"}) {
    std::vector<std::size_t> ends;
    const std::string bytes = GgufImage::Read(kGguf + name + ".gguf").Bytes(&ends);
    for (int i = 0; i < 200; ++i)
      tally.Try(folder.Put("model.gguf", Flipped(bytes, ends.back(), dice)), fmt::format("{} flip {}", name, i));
    for (int i = 0; i < 10; ++i)
      tally.Try(folder.Put("model.gguf", Flipped(bytes, bytes.size(), dice)),
                fmt::format("{} flip anywhere {}", name, i));
  }
  EXPECT_GE(tally.files(), 800);
}

// Every length, count, type, dimension and offset takes the values that break arithmetic.
TEST(HostileGguf, ExtremeNumbersInEveryField) {
  ScratchFolder folder;
  Tally tally;
  std::vector<std::size_t> ends;
  GgufImage image = GgufImage::Read(kGguf + "llama3-rope-freqs.gguf");
  const std::string bytes = image.Bytes(&ends);
  constexpr std::uint64_t kValues[] = {0,          1,          0x7fffffff, 0x80000000, 0xffffffff,
                                       1ull << 40, 1ull << 61, 1ull << 63, ~0ull};
  for (std::size_t i = 1; i < ends.size(); ++i) {
    const std::size_t begin = ends[i - 1], size = ends[i] - begin;
    if (size != 4 && size != 8 && size != 12) continue;
    const std::size_t at = size == 12 ? begin + 4 : begin, width = std::min<std::size_t>(size == 12 ? 8 : size, 8);
    for (const std::uint64_t value : kValues) {
      if (width == 4 && value > 0xffffffff) continue;
      std::string damaged = bytes;
      std::memcpy(damaged.data() + at, &value, width);
      tally.Try(folder.Put("model.gguf", damaged), fmt::format("{} at byte {}", value, at));
    }
  }
  EXPECT_GE(tally.files(), 1000);
}

TEST(HostileGguf, TensorsThatContradictTheFile) {
  using Image = GgufImage;
  ScratchFolder folder;
  Tally tally;
  struct Damage {
    const char* name;
    std::function<void(Image&, std::size_t)> apply;
  };
  const std::vector<Damage> damages{
      {"missing", [](Image& i, std::size_t t) { i.tensors.erase(i.tensors.begin() + static_cast<std::ptrdiff_t>(t)); }},
      {"one more row", [](Image& i, std::size_t t) { ++i.tensors[t].dims.back(); }},
      {"rank five", [](Image& i, std::size_t t) { i.tensors[t].dims.resize(5, 1); }},
      {"no rank", [](Image& i, std::size_t t) { i.tensors[t].dims.clear(); }},
      {"four dimensions", [](Image& i, std::size_t t) { i.tensors[t].dims.resize(4, 2); }},
      {"twice", [](Image& i, std::size_t t) { i.tensors.push_back(i.tensors[t]); }},
      {"over its neighbour", [](Image& i, std::size_t t) { i.tensors[t].offset = t == 0 ? 32 : 0; }},
      {"beyond the end", [](Image& i, std::size_t t) { i.tensors[t].offset = 1u << 30; }},
      {"wrapping round", [](Image& i, std::size_t t) { i.tensors[t].offset = ~0ull - 31; }},
      {"unaligned", [](Image& i, std::size_t t) { i.tensors[t].offset = 17; }},
      {"no name", [](Image& i, std::size_t t) { i.tensors[t].name.clear(); }},
      {"misnamed", [](Image& i, std::size_t t) { i.tensors[t].name += "x"; }},
      {"of integers", [](Image& i, std::size_t t) { i.tensors[t].type = 26; }},
  };
  for (const char* fixture : {"llama", "qwen2"}) {
    const Image image = Image::Read(kGguf + fixture + ".gguf");
    for (const Damage& damage : damages)
      for (std::size_t t = 0; t < image.tensors.size(); ++t) {
        Image damaged = image;
        damage.apply(damaged, t);
        tally.Try(folder.Put("model.gguf", damaged.Bytes()),
                  fmt::format("{}: {} {}", fixture, image.tensors[t].name, damage.name), Want::kRefused);
      }
  }
  EXPECT_GE(tally.files(), 800);
}

TEST(HostileGguf, MetadataOfOtherKindsAndRanges) {
  ScratchFolder folder;
  Tally tally;
  for (const char* fixture : {"gemma4-e2b-like", "gemma3-linear-rope"}) {
    const GgufImage image = GgufImage::Read(kGguf + fixture + ".gguf");
    for (const GgufImage::Field& field : image.fields) {
      GgufImage damaged = image;
      damaged.Drop(field.key);
      tally.Try(folder.Put("model.gguf", damaged.Bytes()), field.key + " missing");
      damaged.fields.push_back(field);
      damaged.fields.push_back(field);
      tally.Try(folder.Put("model.gguf", damaged.Bytes()), field.key + " twice", Want::kRefused);
      if (field.key.starts_with("tokenizer.")) continue;
      for (const double value : {0.0, -1.0, 1e9, -1e300, 1e300, std::nan(""), 7.5}) {
        damaged = image;
        damaged.Set(field.key, value == -1 ? 5 : 12, {value});
        tally.Try(folder.Put("model.gguf", damaged.Bytes()), fmt::format("{} = {}", field.key, value));
      }
      damaged = image;
      damaged.Set(field.key, 4, std::vector<double>(7, 1), true);
      tally.Try(folder.Put("model.gguf", damaged.Bytes()), field.key + " of seven");
      damaged.SetString(field.key, std::string(100000, 'a'));
      tally.Try(folder.Put("model.gguf", damaged.Bytes()), field.key + " as text",
                field.key.starts_with("general.al") || field.key.starts_with("gemma") ? Want::kRefused : Want::kEither);
    }
  }
  EXPECT_GE(tally.files(), 400);
}

TEST(HostileGguf, NanBlockScales) {
  ScratchFolder folder;
  Tally tally;
  GgufImage image = GgufImage::Read(kGguf + "qwen2.gguf");
  constexpr DType kTypes[] = {DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0};
  std::size_t next = 0;
  std::vector<std::string> matrices;
  for (const GgufImage::Tensor& tensor : image.tensors)
    if (tensor.dims.size() == 2) matrices.push_back(tensor.name);
  for (const std::string& name : matrices) image.Convert(name, kTypes[next++ % std::size(kTypes)]);
  tally.Try(folder.Put("model.gguf", image.Bytes()), "undamaged", Want::kAccepted);
  Dice dice(5);
  for (const std::string& name : matrices)
    for (const char* bits : {"\x01\x7c", "\x00\x7c", "\xff\xff"}) {
      GgufImage damaged = image;
      std::string& data = damaged.TensorAt(name).data;
      const DType type = DTypeFromGgml(damaged.TensorAt(name).type).value();
      const std::string special = type == DType::kBF16 ? std::string("\x80\x7f", 2) : std::string(bits, 2);
      data.replace(dice.Below(data.size() / static_cast<std::size_t>(Info(type).bytes)) *
                       static_cast<std::size_t>(Info(type).bytes),
                   2, special);
      const std::string message =
          tally.Try(folder.Put("model.gguf", damaged.Bytes()), name + " with a special scale", Want::kRefused);
      EXPECT_NE(message.find(name), std::string::npos) << message;
    }
}

// A Hugging Face folder whose files are given as bytes.
class HfFolder {
 public:
  explicit HfFolder(const std::string& fixture)
      : config(BytesOfFile(kHuggingFace + fixture + "/config.json")),
        weights(BytesOfFile(kHuggingFace + fixture + "/model.safetensors")) {
    std::uint64_t length = 0;
    std::memcpy(&length, weights.data(), sizeof length);
    header = weights.substr(8, length);
    data = weights.substr(8 + length);
    folder_.Put("config.json", config);
    folder_.Put("model.safetensors", weights);
  }
  // The weights with another header, its length made right.
  std::string WithHeader(const std::string& text) const {
    const std::uint64_t length = text.size();
    return std::string(reinterpret_cast<const char*>(&length), 8) + text + data;
  }
  const ScratchFolder& at() const { return folder_; }
  const std::string& path() const { return folder_.path(); }

  std::string config, weights, header, data;

 private:
  ScratchFolder folder_;
};

// Positions after each token of a JSON text.
std::vector<std::size_t> TokenEnds(const std::string& text) {
  std::vector<std::size_t> ends;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (std::string_view("{}[],:\"").find(text[i]) != std::string_view::npos) ends.push_back(i + 1);
  return ends;
}

// The [begin, end) of every scalar value of a JSON text: numbers, literals, and strings that are not keys.
std::vector<std::pair<std::size_t, std::size_t>> Scalars(const std::string& text) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::size_t end = i;
    if (text[i] == '"') {
      end = text.find('"', i + 1) + 1;
      const std::size_t next = text.find_first_not_of(" \n", end);
      if (next == std::string::npos || text[next] != ':') found.emplace_back(i, end);
    } else if (std::string_view("-0123456789tfn").find(text[i]) != std::string_view::npos) {
      end = text.find_first_of(" \n,]}", i);
      found.emplace_back(i, end);
    }
    if (end > i) i = end - 1;
  }
  return found;
}

// Every JSON text that differs from `text` in one scalar, with what was put there.
void ForEachScalar(const std::string& text, const std::vector<std::string>& puts,
                   const std::function<void(const std::string& damaged, const std::string& what)>& use) {
  for (const auto& [begin, end] : Scalars(text))
    for (const std::string& put : puts) {
      std::string damaged = text;
      damaged.replace(begin, end - begin, put);
      use(damaged, fmt::format("{} at byte {} as {}", text.substr(begin, end - begin), begin, put.substr(0, 40)));
    }
}

const std::vector<std::string> kHostileScalars{"0",
                                               "-1",
                                               "1",
                                               "1.5",
                                               "1e400",
                                               "9007199254740993",
                                               "18446744073709551616",
                                               "4294967296",
                                               "null",
                                               "true",
                                               "\"x\"",
                                               "[]",
                                               "{}",
                                               "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]"};

TEST(HostileSafetensors, TruncatedAtEveryToken) {
  HfFolder model("qwen2");
  Tally tally;
  tally.Try(model.path(), "undamaged", Want::kAccepted);
  for (const std::size_t end : TokenEnds(model.header))
    tally.Try((model.at().Put("model.safetensors", model.weights.substr(0, 8 + end)), model.path()),
              fmt::format("cut at {}", end), Want::kRefused);
  for (std::size_t cut = 0; cut <= 9; ++cut)
    tally.Try((model.at().Put("model.safetensors", model.weights.substr(0, cut)), model.path()),
              fmt::format("cut at {}", cut), Want::kRefused);
  for (const std::size_t missing : {std::size_t{1}, model.data.size() / 2, model.data.size()})
    tally.Try(
        (model.at().Put("model.safetensors", model.weights.substr(0, model.weights.size() - missing)), model.path()),
        "without its end", Want::kRefused);
  EXPECT_GE(tally.files(), 600);
}

TEST(HostileSafetensors, FlippedBytesAndLengths) {
  HfFolder model("gemma4-e2b");
  Tally tally;
  Dice dice(2);
  for (int i = 0; i < 500; ++i)
    tally.Try(
        (model.at().Put("model.safetensors", Flipped(model.weights, 8 + model.header.size(), dice)), model.path()),
        fmt::format("flip {}", i));
  for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{model.header.size() - 1},
                                     std::uint64_t{model.header.size() + 1}, std::uint64_t{100'000'001},
                                     std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    std::string damaged = model.weights;
    std::memcpy(damaged.data(), &length, 8);
    tally.Try((model.at().Put("model.safetensors", damaged), model.path()), fmt::format("header of {}", length),
              Want::kRefused);
  }
}

TEST(HostileSafetensors, EveryValueOfTheHeader) {
  HfFolder model("qwen2");
  Tally tally;
  ForEachScalar(model.header, {"0", "-1", "18446744073709551616", "9007199254740993", "\"BF16\"", "[1,2]"},
                [&](const std::string& damaged, const std::string& what) {
                  tally.Try((model.at().Put("model.safetensors", model.WithHeader(damaged)), model.path()), what);
                });
  // A tensor twice, an empty name, a bare container, more nesting than a parser's stack takes, and many tiny values,
  // each of which costs more in memory than in the file.
  const std::string first = model.header.substr(1, model.header.find("},", model.header.find("data_offsets")));
  std::string ones = "{\"a\":[1", objects = "{\"a\":[{}", keys = "{\"0\":1";
  for (int i = 1; i < 200000; ++i) {
    ones += ",1";
    objects += ",{}";
    keys += fmt::format(",\"{}\":1", i);
  }
  const std::vector<std::string> headers{"{" + first + "," + model.header.substr(1),
                                         "{\"\":" + first.substr(first.find(":{") + 1) + "," + model.header.substr(1),
                                         std::string(100000, '['),
                                         "{\"a\":" + std::string(100000, '['),
                                         std::string(100000, '{'),
                                         "{}",
                                         "{",
                                         "[]",
                                         "",
                                         "{\"" + std::string(1u << 20, 'n') + "\":1}",
                                         ones + "]}",
                                         objects + "]}",
                                         keys + "}"};
  for (const std::string& damaged : headers)
    tally.Try((model.at().Put("model.safetensors", model.WithHeader(damaged)), model.path()), damaged.substr(0, 60),
              Want::kRefused);
  EXPECT_GE(tally.files(), 800);
}

TEST(HostileConfig, TruncatedFlippedAndEveryValue) {
  Tally tally;
  Dice dice(3);
  for (const char* fixture : {"gemma4-26b-a4b", "llama3"}) {
    HfFolder model(fixture);
    const auto attempt = [&](const std::string& config, const std::string& what, Want want) {
      model.at().Put("config.json", config);
      tally.Try(model.path(), fmt::format("{}: {}", fixture, what), want);
    };
    attempt(model.config, "undamaged", Want::kAccepted);
    const std::size_t close = model.config.rfind('}');
    for (const std::size_t end : TokenEnds(model.config))
      if (end <= close) attempt(model.config.substr(0, end), fmt::format("cut at {}", end), Want::kRefused);
    for (int i = 0; i < 100; ++i)
      attempt(Flipped(model.config, model.config.size(), dice), fmt::format("flip {}", i), Want::kEither);
    ForEachScalar(model.config, kHostileScalars,
                  [&](const std::string& damaged, const std::string& what) { attempt(damaged, what, Want::kEither); });
    attempt(std::string(100000, '['), "deep", Want::kRefused);
    attempt("{" + model.config + "}", "wrapped", Want::kRefused);
    attempt(model.config.substr(0, close) + ",\"hidden_size\":1,\"hidden_size\":1}", "key twice", Want::kRefused);
    attempt("", "empty", Want::kRefused);
  }
  EXPECT_GE(tally.files(), 1400);
}

TEST(HostileIndex, PathTricksAndEveryValue) {
  HfFolder model("qwen2");
  Tally tally;
  const std::string shard = "model-00001-of-00001.safetensors";
  fs::rename(model.path() + "/model.safetensors", model.path() + "/" + shard);
  // Where tricks would lead if they were followed.
  fs::create_directory(model.path() + "/sub");
  for (const char* decoy : {"sub/x.safetensors", "plain.bin", ".hidden.safetensors"})
    fs::copy_file(model.path() + "/" + shard, model.path() + "/" + decoy);
  std::string map;
  for (std::size_t end = 0; (end = model.header.find("\":{\"dtype\"", end)) != std::string::npos; ++end) {
    const std::size_t begin = model.header.rfind('"', end - 1) + 1;
    map += fmt::format("{}\"{}\":\"{}\"", map.empty() ? "" : ",", model.header.substr(begin, end - begin), shard);
  }
  const std::string index =
      "{\"metadata\":{\"total_size\":" + std::to_string(model.data.size()) + "},\"weight_map\":{" + map + "}}";
  const auto attempt = [&](const std::string& text, const std::string& what, Want want) {
    model.at().Put("model.safetensors.index.json", text);
    return tally.Try(model.path(), what, want);
  };
  attempt(index, "undamaged", Want::kAccepted);
  const std::string absolute = model.path() + "/" + shard;
  const std::vector<std::string> tricks{"sub/x.safetensors",
                                        "./" + shard,
                                        "../" + fs::path(model.path()).filename().string() + "/" + shard,
                                        absolute,
                                        "file://" + absolute,
                                        "sub\\\\x.safetensors",
                                        "..",
                                        ".",
                                        "",
                                        "plain.bin",
                                        ".safetensors",
                                        ".hidden.safetensors",
                                        shard + "\\u0000",
                                        "\\u0000" + shard,
                                        "sub",
                                        "missing.safetensors",
                                        std::string(5000, 'a') + ".safetensors",
                                        "/dev/zero",
                                        "/dev/stdin",
                                        "\\ud800.safetensors"};
  const std::size_t first = index.find(shard), last = index.rfind(shard);
  for (const std::string& trick : tricks)
    for (const std::size_t at : {first, last}) {
      std::string damaged = index;
      attempt(damaged.replace(at, shard.size(), trick), "shard " + trick.substr(0, 60), Want::kRefused);
    }
  std::string many = "{\"weight_map\":{";
  for (int i = 0; i < 2000; ++i) many += fmt::format("{}\"t{}\":\"{}.safetensors\"", i > 0 ? "," : "", i, i);
  attempt(many + "}}", "2000 shards", Want::kRefused);
  attempt("{\"weight_map\":[]}", "a list", Want::kRefused);
  attempt("{\"weight_map\":{}}", "no tensors", Want::kRefused);
  attempt("{}", "no map", Want::kRefused);
  for (const std::size_t end : TokenEnds(index))
    if (end < index.size()) attempt(index.substr(0, end), fmt::format("cut at {}", end), Want::kRefused);
  ForEachScalar(index, {"0", "-1", "null", "[]", "\"x.safetensors\"", "\"\""},
                [&](const std::string& damaged, const std::string& what) { attempt(damaged, what, Want::kEither); });
  Dice dice(4);
  for (int i = 0; i < 100; ++i) attempt(Flipped(index, index.size(), dice), fmt::format("flip {}", i), Want::kEither);
  EXPECT_GE(tally.files(), 500);
}

TEST(HostileFiles, ShrinkingOrUnreadableWhileOpen) {
  for (const bool gguf : {true, false}) {
    ScratchFolder folder;
    std::string file = folder.path() + "/model.gguf", model = file;
    if (gguf) {
      fs::copy_file(kGguf + "gemma4-moe-split-experts.gguf", file);
    } else {
      model = folder.path();
      file = folder.path() + "/model.safetensors";
      fs::copy_file(kHuggingFace + "gemma4-26b-a4b/config.json", folder.path() + "/config.json");
      fs::copy_file(kHuggingFace + "gemma4-26b-a4b/model.safetensors", file);
    }
    const auto store = Open(model);
    fs::resize_file(file, fs::file_size(file) - 1);
    for (const TensorEntry& entry : Catalogue(store->spec())) {
      if (!store->Has(entry.key)) continue;
      try {
        store->Load(entry.key);
        ADD_FAILURE() << Name(entry.key) << " was read from a file that shrank";
      } catch (const InputError& error) {
        EXPECT_NE(std::string(error.what()).find(file), std::string::npos) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace assay

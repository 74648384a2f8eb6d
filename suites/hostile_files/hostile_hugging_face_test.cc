// Damaged and hostile Hugging Face folders, and files of either kind that change while they are open.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "engine/testing/fixtures.h"
#include "engine/testing/gguf_fixture.h"
#include "engine/testing/scratch_folder.h"
#include "suites/hostile_files/hostile_files.h"

namespace assay {
namespace {

const std::string kHuggingFace = Fixture("goldens/hf-tiny/");

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
      fs::copy_file(TinyGgufPath("gemma4-moe-split-experts"), file);
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

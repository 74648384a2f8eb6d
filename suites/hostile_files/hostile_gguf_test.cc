// Damaged and hostile GGUF files.
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include "engine/testing/gguf_fixture.h"
#include "engine/testing/scratch_folder.h"
#include "suites/hostile_files/hostile_files.h"

namespace assay {
namespace {

TEST(HostileGguf, TruncatedAtEveryField) {
  ScratchFolder folder;
  Tally tally;
  for (const char* name : {"llama", "gemma4-moe-split-experts"}) {
    std::vector<std::size_t> ends;
    const std::string bytes = TinyGguf(name).Bytes(&ends);
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
    const std::string bytes = TinyGguf(name).Bytes(&ends);
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
  GgufImage image = TinyGguf("llama3-rope-freqs");
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
    const Image image = TinyGguf(fixture);
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
    const GgufImage image = TinyGguf(fixture);
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
  GgufImage image = TinyGguf("qwen2");
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

}  // namespace
}  // namespace assay

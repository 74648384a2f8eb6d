#include "engine/model/presets.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string_view>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/model/dense.h"
#include "engine/model/gemma4.h"

namespace assay {
namespace {

// Every `period`-th layer and the last are full; the publishers' tables have no other pattern.
struct Gemma4Row {
  const char* name;
  int hidden, layers, period, heads;
  int kv_sliding, kv_full, dim_sliding, dim_full;
  int ffn;
  bool double_wide;
  int window, shared, ple;
  bool key_is_value;
  int experts, top_k, expert_ffn;
  int max_position;
  int vocab = 262144;
};

// clang-format off
constexpr Gemma4Row kGemma4[] = {
    // name            hidden  L  per heads kvs kvf  ds   df   ffn    wide   win  shr  ple   k=v  E    k  Ef  positions
    {"gemma4-e2b",      1536, 35, 5,  8,  1,  1, 256, 512,  6144, true,   512, 20, 256, false,   0, 0,   0, 131072},
    {"gemma4-e4b",      2560, 42, 6,  8,  2,  2, 256, 512, 10240, false,  512, 18, 256, false,   0, 0,   0, 131072},
    {"gemma4-12b",      3840, 48, 6, 16,  8,  1, 256, 512, 15360, false, 1024,  0,   0, true,    0, 0,   0, 262144},
    {"gemma4-26b-a4b",  2816, 30, 6, 16,  8,  2, 256, 512,  2112, false, 1024,  0,   0, true,  128, 8, 704, 262144},
    {"gemma4-31b",      5376, 60, 6, 32, 16,  4, 256, 512, 21504, false, 1024,  0,   0, true,    0, 0,   0, 262144},
    // Every feature at widths that a host test runs in milliseconds; windows that short prompts already wrap.
    {"tiny-gemma4-ple",   48, 10, 5,  4,  2,  2,  16,  32,    64, true,     6,  5,   8, false,   0, 0,   0,   4096, 112},
    {"tiny-gemma4-keqv",  64,  6, 3,  4,  2,  1,  16,  32,    96, false,    8,  0,   0, true,    0, 0,   0,   4096, 128},
    {"tiny-gemma4-moe",   48,  6, 3,  4,  2,  1,  16,  32,    40, false,    5,  0,   0, true,    8, 2,  24,   4096,  96},
};
// clang-format on

struct DenseRow {
  const char* name;
  const char* family;
  int hidden, layers, heads, kv_heads, head_dim, ffn, vocab, max_position;
  double eps, theta;
  bool tied;
  double llama3_factor = 0;  // 0 = no such scaling
  int window = 0;            // on all layers, or with `period` on all but each period-th
  int period = 0;
  double linear_factor = 0;  // of full layers; 0 = none
  double query_scalar = 0;   // attention scale is this ^ -1/2; 0: head_dim
};

// clang-format off
constexpr DenseRow kDense[] = {
    // name            family     hidden  L  heads kv dim  ffn    vocab  positions eps  theta  tied  l3 window per lin  scalar
    {"llama-2-7b",      "llama",    4096, 32, 32, 32, 128, 11008,  32000,   4096, 1e-5, 1e4, false},
    {"llama-3.1-8b",    "llama",    4096, 32, 32,  8, 128, 14336, 128256, 131072, 1e-5, 5e5, false, 8},
    {"llama-3.2-1b",    "llama",    2048, 16, 32,  8,  64,  8192, 128256, 131072, 1e-5, 5e5, true, 32},
    {"mistral-7b",      "mistral",  4096, 32, 32,  8, 128, 14336,  32000,  32768, 1e-5, 1e4, false, 0, 4096},
    {"mistral-nemo",    "mistral",  5120, 40, 32,  8, 128, 14336, 131072, 131072, 1e-5, 1e6, false},
    {"qwen2.5-0.5b",    "qwen2",     896, 24, 14,  2,  64,  4864, 151936,  32768, 1e-6, 1e6, true},
    {"qwen2.5-7b",      "qwen2",    3584, 28, 28,  4, 128, 18944, 152064,  32768, 1e-6, 1e6, false},
    {"qwen3-0.6b",      "qwen3",    1024, 28, 16,  8, 128,  3072, 151936,  40960, 1e-6, 1e6, true},
    {"qwen3-8b",        "qwen3",    4096, 36, 32,  8, 128, 12288, 151936,  40960, 1e-6, 1e6, false},
    {"gemma3-270m",     "gemma3",    640, 18,  4,  1, 256,  2048, 262144,  32768, 1e-6, 1e6, true, 0,  512, 6, 0, 256},
    {"gemma3-1b",       "gemma3",   1152, 26,  4,  1, 256,  6912, 262144,  32768, 1e-6, 1e6, true, 0,  512, 6, 0, 256},
    {"gemma3-4b",       "gemma3",   2560, 34,  8,  4, 256, 10240, 262208, 131072, 1e-6, 1e6, true, 0, 1024, 6, 8, 256},
    {"gemma3-27b",      "gemma3",   5376, 62, 32, 16, 128, 21504, 262208, 131072, 1e-6, 1e6, true, 0, 1024, 6, 8, 168},
    {"smollm2-135m",    "llama",     576, 30,  9,  3,  64,  1536,  49152,   8192, 1e-5, 1e5, true},
    {"smollm2-360m",    "llama",     960, 32, 15,  5,  64,  2560,  49152,   8192, 1e-5, 1e5, true},
    {"smollm2-1.7b",    "llama",    2048, 24, 32, 32,  64,  8192,  49152,   8192, 1e-5, 13e4, true},
    {"tiny-llama",      "llama",      48,  4,  6,  2,  16,    96,    112,   4096, 1e-5, 1e4, false, 8},
    {"tiny-mistral",    "mistral",    40,  4,  4,  2,  16,    80,    104,   4096, 1e-5, 1e4, false, 0, 7},
    {"tiny-qwen2",      "qwen2",      48,  4,  6,  2,   8,    96,    120,   4096, 1e-6, 1e4, true},
    {"tiny-qwen3",      "qwen3",      48,  4,  4,  1,  16,    96,    128,   4096, 1e-6, 1e4, true},
    {"tiny-gemma3",     "gemma3",     48,  7,  4,  2,  16,    64,    112,   4096, 1e-6, 1e6, true, 0, 6, 3, 8, 24},
};
// clang-format on

ModelSpec Build(const Gemma4Row& row) {
  Gemma4Config config;
  config.name = row.name;
  config.hidden = row.hidden;
  config.vocab = row.vocab;
  config.max_position = row.max_position;
  config.heads = row.heads;
  config.window = row.window;
  config.ple_width = row.ple;
  config.softcap = 30;
  config.shared_kv_layers = row.shared;
  config.double_wide = row.double_wide;
  config.experts = row.experts;
  config.top_k = row.top_k;
  config.expert_ffn = row.expert_ffn;
  for (const LayerKind kind : EveryNthFull(row.layers, row.period)) {
    const bool full = kind == LayerKind::kFull;
    config.layers.push_back({kind, full ? row.kv_full : row.kv_sliding, full ? row.dim_full : row.dim_sliding, row.ffn,
                             full && row.key_is_value});
  }
  return Gemma4Spec(config);
}

ModelSpec Build(const DenseRow& row) {
  DenseConfig config;
  config.name = row.name;
  config.family = row.family;
  config.hidden = row.hidden;
  config.vocab = row.vocab;
  config.max_position = row.max_position;
  config.norm_eps = row.eps;
  config.heads = row.heads;
  config.kv_heads = row.kv_heads;
  config.head_dim = row.head_dim;
  config.ffn = row.ffn;
  config.tied_head = row.tied;
  config.attn_scale = row.query_scalar > 0 ? 1 / std::sqrt(row.query_scalar) : 0;
  config.window = row.window;
  config.rope_full.theta = row.theta;
  if (row.llama3_factor > 0) {
    config.rope_full.rule = RopeRule::kLlama3;
    config.rope_full.factor = row.llama3_factor;
    // So that a tiny model's few pairs fall on both sides of the rule's two borders.
    if (row.max_position <= 4096) config.rope_full.original = 64;
  }
  if (row.linear_factor > 0) {
    config.rope_full.rule = RopeRule::kLinear;
    config.rope_full.factor = row.linear_factor;
  }
  // With a pattern, sliding layers keep theta 10000 unscaled; without one, all layers share one rope.
  config.rope_sliding = row.period > 0 ? RopeConfig{} : config.rope_full;
  config.kinds = row.period > 0 ? EveryNthFull(row.layers, row.period)
                                : std::vector<LayerKind>(static_cast<std::size_t>(row.layers),
                                                         row.window > 0 ? LayerKind::kSliding : LayerKind::kFull);
  return DenseSpec(config);
}

template <class Rows>
const auto* Find(const Rows& rows, const std::string& name) {
  const auto found = std::find_if(std::begin(rows), std::end(rows), [&](const auto& row) { return row.name == name; });
  return found == std::end(rows) ? nullptr : &*found;
}

// "random-17" is a made-up tiny geometry: every mechanism is on in some of them.
std::optional<std::uint64_t> RandomNumber(const std::string& name) {
  constexpr std::string_view kPrefix = "random-";
  if (!name.starts_with(kPrefix) || name.size() > kPrefix.size() + 9) return std::nullopt;
  std::uint64_t number = 0;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, number);
  return error == std::errc() && stop == end ? std::optional(number) : std::nullopt;
}

ModelSpec RandomSpec(const std::string& name, std::uint64_t number) {
  std::uint64_t drawn = 0;
  const auto below = [&](int end) {
    return static_cast<int>(RandomBits(number, drawn++) % static_cast<unsigned>(end));
  };
  const auto of = [&](std::initializer_list<int> values) {
    return *(values.begin() + below(static_cast<int>(values.size())));
  };
  const int heads = of({1, 2, 4, 6}), vocab = 48 + below(80);
  const auto kv_of = [&] { return heads == 1 ? 1 : of({1, heads / 2, heads}); };
  if (below(3) > 0) {
    Gemma4Row row{};
    row.name = name.c_str();
    row.hidden = of({16, 24, 40, 48});
    row.period = 1 + below(3);
    row.layers = row.period + 1 + below(4);
    row.heads = heads;
    row.kv_sliding = kv_of(), row.kv_full = kv_of();
    row.dim_sliding = of({2, 8, 16}), row.dim_full = of({8, 16, 32});
    row.ffn = of({8, 20, 48});
    row.window = of({1, 2, 3, 5, 8, 13});
    // What is shared needs a donor of its kind before it.
    row.shared = below(row.layers - row.period + 1);
    row.double_wide = below(2) == 0;
    row.ple = of({0, 0, 4, 8});
    row.key_is_value = below(2) == 0;
    if (below(3) == 0) row.experts = of({2, 5, 8}), row.top_k = 1 + below(2), row.expert_ffn = of({4, 16});
    row.max_position = 4096;
    row.vocab = vocab;
    return Build(row);
  }
  const char* const family =
      std::array{"llama", "mistral", "qwen2", "qwen3", "gemma3"}[static_cast<std::size_t>(below(5))];
  const bool gemma3 = std::string_view(family) == "gemma3";
  DenseRow row{name.c_str(),
               family,
               of({16, 24, 40, 48}),
               1 + below(5),
               heads,
               kv_of(),
               of({2, 8, 16}),
               of({8, 20, 48}),
               vocab,
               4096,
               1e-6,
               1e4,
               below(2) == 0};
  if (gemma3 || std::string_view(family) == "mistral") row.window = of({1, 2, 3, 5, 8, 13});
  if (gemma3) row.period = 1 + below(3), row.query_scalar = 24;
  if (std::string_view(family) == "llama" && below(2) == 0) row.llama3_factor = 8;
  ModelSpec spec = Build(row);
  // As files of Qwen may say: the first layers are full, the others slide.
  if (!std::string_view(family).starts_with("qwen")) return spec;
  const int window = of({1, 2, 3, 5, 8, 13});
  for (int l = 1 + below(spec.layer_count()); l < spec.layer_count(); ++l) {
    spec.layers[l].kind = LayerKind::kSliding;
    spec.layers[l].window = window;
  }
  ValidateSpec(spec);
  return spec;
}

}  // namespace

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const auto& row : kGemma4) names.emplace_back(row.name);
  for (const auto& row : kDense) names.emplace_back(row.name);
  std::sort(names.begin(), names.end());
  return names;
}

bool IsPreset(const std::string& name) {
  return Find(kGemma4, name) != nullptr || Find(kDense, name) != nullptr || RandomNumber(name);
}

ModelSpec Preset(const std::string& name) {
  if (const auto number = RandomNumber(name)) return RandomSpec(name, *number);
  if (const Gemma4Row* row = Find(kGemma4, name)) return Build(*row);
  if (const DenseRow* row = Find(kDense, name)) return Build(*row);
  std::string known;
  for (const std::string& preset : PresetNames()) known += (known.empty() ? "" : ", ") + preset;
  Throw("no preset '{}': known are {}", name, known);
}

}  // namespace assay

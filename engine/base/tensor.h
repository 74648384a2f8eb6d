// Element types of stored tensors and activations, their block sizes, byte counts checked for overflow, and tensors on
// the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace assay {

// Stored types. Names and block layouts of the quantised ones are ggml's; see engine/base/quant.h for the formulas.
enum class DType : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ8_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ8_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
  kI32,
  kF8_E4M3,  // no GGUF type: keys and values
};

struct DTypeInfo {
  DType type;
  std::string_view name;  // as ggml or safetensors print it: "Q4_K"
  int block;              // elements per block; 1 for plain types
  int bytes;              // bytes per block
  int ggml_id;            // id in GGUF files; -1: none
};

// Facts of a type. Never fails: every enumerator has a row.
const DTypeInfo& Info(DType type);
inline std::string_view Name(DType type) { return Info(type).name; }
inline bool IsQuantised(DType type) { return Info(type).block > 1; }

// The type of a GGUF type id; nothing when the id is unknown, removed or unsupported.
std::optional<DType> DTypeFromGgml(std::uint32_t id);

// Bytes of rows x cols elements, rows stored contiguously and unpadded. Throws InputError when cols is not a multiple
// of the block or the product leaves 63 bits.
std::size_t StoredBytes(DType type, std::int64_t rows, std::int64_t cols);

// A recipe for values that host and device compute bit for bit alike: value(i) = round_to_type(offset +
// scale * RandomNormalish(key, i)), i over experts x rows x cols.
struct SyntheticFill {
  std::uint64_t key = 0;
  float scale = 1.0f;
  float offset = 0.0f;
};

// A tensor on the host: a view of a mapped file or an owned block; `data` keeps either alive.
struct HostTensor {
  DType type = DType::kF32;
  std::int64_t experts = 1;
  std::int64_t rows = 0;  // [experts, rows = out, cols = in], row-major, rows unpadded
  std::int64_t cols = 0;
  std::shared_ptr<const std::byte> data;  // null for a synthetic tensor that was asked for as a recipe
  std::size_t bytes = 0;
  std::string where;                  // "model.gguf: blk.3.attn_q.weight"
  std::optional<SyntheticFill> fill;  // set when the values follow a recipe: a device may compute them itself
};

}  // namespace assay

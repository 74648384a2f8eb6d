// The kinds of op cases, each made from a shape, and the lists of them that the op tests walk through.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/activation.h"
#include "suites/ops/cases/op_case.h"

namespace assay {

inline constexpr Precision kPrecisions[] = {Precision::kFp32, Precision::kFp16, Precision::kBf16};
// Of ops that write or read caches.
inline constexpr Precision kKvPrecisions[] = {Precision::kFp32,      Precision::kFp16,      Precision::kBf16,
                                              Precision::kFp32Fp8Kv, Precision::kFp16Fp8Kv, Precision::kBf16Fp8Kv};

struct NormShape {
  int rows = 0, width = 0;
  float eps = 1e-6f;
  int calls = 1;
};
OpCase NormCase(const NormShape& shape);

struct ResidualShape {
  int rows = 0, width = 0;
  bool post_norm = false, next_norm = false, operand = true;
  float scale = 0.37f, eps = 1e-6f;
  int calls = 1;  // all on the same rows, so that only the first has a known outcome
};
OpCase ResidualCase(const ResidualShape& shape);

enum class SumIs { kOwn, kA, kB };
OpCase JoinCase(int rows, int width, SumIs sum);
OpCase BiasCase(int rows, int width);

// The weights of a product: one for each of the calls that are made in a row.
using WeightsOf = std::function<std::vector<std::shared_ptr<const Weight>>(DeviceFixture&)>;
// One weight, prepared from these parts by whichever ops the fixture has.
WeightsOf PreparedFrom(std::shared_ptr<const WeightParts> parts);

// A mode and a stored type; the products' lists and tests have a parameter each.
struct ProductSubject {
  Precision precision;
  DType stored;
  std::string name() const;  // "bf16_Q8_0"
};
std::vector<ProductSubject> ProductSubjects();
std::vector<ProductSubject> ExpertSubjects();

struct ProductShape {
  DType stored = DType::kF32;  // as which the weight comes: it decides what rounding the result may show
  std::int64_t rows_out = 0, cols = 0;
  int rows = 0;
  bool exact = false;  // integers whose sums float32 holds
};
OpCase MatMulCase(const ProductShape& shape, const WeightsOf& weights, const Values& x);
OpCase GatedCase(const ProductShape& shape, const WeightsOf& weights, const Values& x, Activation activation);

struct AttentionShape {
  std::string name;
  int head_dim = 0, group = 0, kv_heads = 0, window = 0, slots = 0;
  std::vector<Segment> segments;  // {0, rows, session, first_position}
  float scale = 0;                // of q . k; 0: head_dim^-1/2
  int bound = 0;                  // on the context; 0: as the segments need it
  // For each of the calls made in a row the cache it reads; caches are numbered from 0.
  std::vector<int> cache_of_call = {0};
  int rows() const;
  int context_bound() const;
};
struct AttentionInputs {
  Values q, keys, values;
};
// Numbers in the slots that some row may see, NaN elsewhere: one read of them shows.
AttentionInputs MakeAttentionInputs(const AttentionShape& shape, std::uint64_t key);
OpCase AttentionCase(const AttentionShape& shape, const AttentionInputs& inputs);

// One list per test: name and mode (and stored type) say which.
std::vector<OpCaseList> NormCases();       // Norm, Residual, Join, AddBias
std::vector<OpCaseList> EmbedCases();      // Embed, PleInput
std::vector<OpCaseList> LogitsCases();     // Logits, GatherRows, Advance
std::vector<OpCaseList> RouteCases();      // Route
std::vector<OpCaseList> AttentionCases();  // Attention
std::vector<OpCaseList> QkvCases();        // Qkv
std::vector<OpCaseList> ProductCases();    // MatMul, GatedMatMul, PleGate
std::vector<OpCaseList> ExpertCases();     // ExpertGated, ExpertDown
std::vector<OpCaseList> AllOpCases();

}  // namespace assay

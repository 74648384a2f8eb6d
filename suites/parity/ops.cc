// Every op against its formula in float64, on whichever device the engine runs: within steps of the target's engine, in
// fp32, fp16, bf16 and bf16_fp8kv, and alone, on the shapes and edges of the op cases. A wrong op is named, with layer,
// row and element.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>

#include "engine/base/half.h"
#include "engine/base/quant.h"
#include "engine/base/random.h"
#include "oracles/probes/checking_ops.h"
#include "suites/ops/cases/cases.h"
#include "suites/parity/parity.h"
#include "suites/parity/streams.h"
#include "suites/support/embedded.h"

namespace assay {
namespace {

// The op cases have shapes of their own; a target needs a model all the same.

std::unique_ptr<Ops> Checked(CaseState& state, Precision precision) {
  Target target = state.target;
  target.precision = precision;
  return std::make_unique<OwningProbe<CheckingOps>>(state.bench.MakeOps(target),
                                                    [&check = state.check, precision](const Judgement& judgement) {
                                                      Judgement named = judgement;
                                                      named.metric = fmt::format("op {}", Name(precision));
                                                      check.Add(named);
                                                    });
}

// A ragged prefill, mixed steps in which some rows are wanted only, recorded steps.
void WithinSteps(CaseState& state) {
  constexpr int kSessions = 5, kLong = 35, kCapacity = 64;
  constexpr int kSteps = 2, kOps = 9;  // of a layer: products, Qkv's three outputs, attention, residuals
  constexpr Precision kModes[] = {Precision::kFp32, Precision::kFp16, Precision::kBf16, Precision::kBf16Fp8Kv};
  for (const Precision precision : kModes)
    state.check.AtLeast(fmt::format("op {}", Name(precision)),
                        std::int64_t{kSteps} * kOps * state.spec().layer_count());
  for (const Precision precision : kModes) {
    const std::unique_ptr<Ops> ops = Checked(state, precision);
    EngineOptions options = SmallOptions(state.spec(), kSessions, kCapacity);
    options.max_chunk = kLong;
    const auto system = state.bench.OpenEngine(state.target, options, *ops);
    std::vector<SessionId> sessions;
    std::vector<Tokens> tokens;
    for (int i = 0; i < kSessions; ++i) {
      sessions.push_back(system->Open());
      tokens.push_back(state.MadeUp(kOpsStream + i, kCapacity));
    }
    system->Step(std::vector<Feed>{{sessions[0], Slice(tokens[0], 0, kLong), Want::kAll},
                                   {sessions[1], Slice(tokens[1], 0, 3), Want::kLast}});
    system->Step(std::vector<Feed>{{sessions[2], Slice(tokens[2], 0, 11), Want::kLast},
                                   {sessions[1], Slice(tokens[1], 3, 1), Want::kLast},
                                   {sessions[0], Slice(tokens[0], kLong, 2), Want::kAll},
                                   {sessions[3], Slice(tokens[3], 0, 9), Want::kNone}});
    if (state.target.exact())
      system->Decode(std::vector<SessionId>{sessions[0], sessions[2], sessions[1]}, {{1, 2, 3}}, 2);
  }
}

// The op cases of a list, on ops that check every call; sentinels and what was not written are looked at too.
void ListedCases(CaseState& state, const OpCaseList& list) {
  constexpr double kCheapFlops = 3e6;  // the formulas are plain loops
  DeviceFixture fixture(Checked(state, list.precision));
  const std::vector<OpCase> cases = list.cases();
  for (const std::string& metric : {fmt::format("op {}", Name(list.precision)), std::string("sentinels")})
    state.check.AtLeast(metric, std::max<std::int64_t>(1, std::ssize(cases) / 20));
  for (const OpCase& item : cases) {
    fixture.Clear();
    const PreparedOp op = item.prepare(fixture);
    if (op.cost.flops > kCheapFlops) continue;
    op.call();
    const std::vector<std::string> damage = fixture.Damage();
    state.check.True(damage.empty(), "sentinels", Place(item.id().c_str()), damage.empty() ? "" : damage.front());
    for (const Output& output : op.outputs) {
      const std::vector<float> values = ReadOutput(fixture, output);
      const auto unwritten = std::ranges::count_if(values, [](float v) { return std::isnan(v); });
      state.check.True(output.sparse || unwritten == 0, "written", Place(item.id().c_str()),
                       fmt::format("{}: {} of {} elements were not written", output.name, unwritten, values.size()));
    }
  }
}

HostTensor Tensor(DType type, std::int64_t rows, std::int64_t cols, const std::byte* data, const char* where) {
  HostTensor tensor;
  tensor.type = type;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.bytes = StoredBytes(type, rows, cols);
  const std::shared_ptr<std::byte[]> copy(new std::byte[tensor.bytes]);
  std::memcpy(copy.get(), data, tensor.bytes);
  tensor.data = std::shared_ptr<const std::byte>(copy, copy.get());
  tensor.where = where;
  return tensor;
}

HostTensor Tensor(const std::vector<float>& values, std::int64_t cols, DType type = DType::kF32) {
  const auto rows = static_cast<std::int64_t>(values.size()) / cols;
  std::vector<std::byte> bytes(StoredBytes(type, rows, cols));
  for (std::int64_t row = 0; row < rows; ++row)
    QuantiseRow(type, values.data() + row * cols, bytes.data() + row * (bytes.size() / rows), cols);
  return Tensor(type, rows, cols, bytes.data(), "made up");
}

// The rows of a table as an op hands them out: x, and the operand it is rounded to.
struct Looked {
  std::vector<float> x, operand;
};
Looked LookUp(DeviceFixture& fixture, const HostTensor& table, float scale = 1.0f) {
  const auto weight = fixture.ops().Prepare({table}, WeightUse::kMatrix);
  std::vector<std::int32_t> tokens;
  std::vector<Segment> segments;
  for (int row = 0; row < table.rows; ++row) {
    tokens.push_back(row);
    segments.push_back({0, 1, row, 0});
  }
  const std::size_t count = static_cast<std::size_t>(table.rows * table.cols);
  const FixtureRows rows = fixture.MakeRows(segments, 1, tokens);
  float* const x = fixture.Out(count);
  void* const operand = fixture.OutOperand(count);
  fixture.ops().Embed({.x = x, .operand = operand, .table = weight.get(), .rows = &rows.rows, .scale = scale});
  fixture.ops().Synchronize();
  return {fixture.Read(x, count), fixture.ReadOperand(operand, count)};
}

// One NaN for all: which of them a multiplication hands on is not said.
std::vector<float> OneNan(std::vector<float> values) {
  for (float& value : values)
    if (std::isnan(value)) value = std::numeric_limits<float>::quiet_NaN();
  return values;
}

// A 16-bit code's value, by the definition of the format.
double Decoded(int bits, int exponent_bits) {
  const int mantissa_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1),
            mantissa = bits & ((1 << mantissa_bits) - 1);
  const double size = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                                    : std::ldexp((1 << mantissa_bits) + mantissa, exponent - bias - mantissa_bits);
  return (bits & 0x8000) != 0 ? -size : size;
}

// Keys and values as Qkv stores them, with neither norm nor rotation.
struct StoredPair {
  std::vector<float> keys, values;
};
StoredPair Stored(DeviceFixture& fixture, const std::vector<float>& values, int head_dim) {
  const int count = static_cast<int>(std::ssize(values)), slots = count / head_dim;
  std::vector<float> qkv;  // a query, a key and a value each, which are alike
  std::vector<Segment> segments;
  for (int slot = 0; slot < slots; ++slot) {
    for (int copy = 0; copy < 3; ++copy)
      qkv.insert(qkv.end(), values.begin() + slot * head_dim, values.begin() + (slot + 1) * head_dim);
    segments.push_back({0, 1, 0, slot});
  }
  const KvView kv{fixture.OutCache(values.size()), fixture.OutCache(values.size()), slots, 1, head_dim, 1};
  const FixtureRows rows = fixture.MakeRows(segments, slots);
  fixture.ops().Qkv({.q = fixture.OutOperand(values.size()),
                     .kv = &kv,
                     .qkv = fixture.In(Values(qkv.size(), [&] { return qkv; })),
                     .bias = nullptr,
                     .q_norm = nullptr,
                     .k_norm = nullptr,
                     .inv_freq = fixture.In(std::vector<float>(static_cast<std::size_t>(head_dim / 2))),
                     .rows = &rows.rows,
                     .heads = 1,
                     .kv_heads = 1,
                     .head_dim = head_dim,
                     .value_is_key = false,
                     .v_norm = false,
                     .eps = 0});
  return {fixture.ReadCache(kv.keys, values.size()), fixture.ReadCache(kv.values, values.size())};
}

// Keys and values of 8 bits: every number of the format, every midpoint between neighbours and the floats beside it,
// also those that a rounding to 16 bits would move onto it, what is beyond the largest number, and NaN.
void CacheRoundingEdges(CaseState& state) {
  constexpr std::ptrdiff_t kHeadDim = 64;
  constexpr int kMantissaBits = 3, kBias = 7, kLast = 0x7e;
  state.check.AtLeast("ulp", 3 * 2);
  const auto decoded = [](int code) {
    const int exponent = code >> kMantissaBits, mantissa = code & 7;
    return std::ldexp(exponent == 0 ? mantissa : 8 + mantissa, std::max(exponent, 1) - kBias - kMantissaBits);
  };
  std::vector<float> in, expected;
  const auto add = [&](float value, double rounded) {
    for (const float sign : {1.0f, -1.0f}) {
      in.push_back(sign * value);
      expected.push_back(value == 0 ? 0.0f : sign * static_cast<float>(rounded));  // a bias of 0 takes the sign
    }
  };
  for (int code = 0; code <= kLast; ++code) {
    const double here = decoded(code), next = code == kLast ? here : decoded(code + 1);
    add(static_cast<float>(here), here);
    if (code == kLast) continue;
    const auto middle = static_cast<float>((here + next) / 2);
    add(middle, code % 2 == 0 ? here : next);
    add(std::nextafter(middle, 0.0f), here);
    add(std::nextafter(middle, std::numeric_limits<float>::infinity()), next);
  }
  for (const float beyond : {449.0f, 464.0f, 480.0f, 1e30f, std::numeric_limits<float>::infinity()})
    add(beyond, decoded(kLast));
  add(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN());
  while (in.size() % (kHeadDim / 2) != 0) add(0.0f, 0.0);
  // Both halves of a head alike: a rotation by 0 multiplies each with the other.
  for (auto* list : {&in, &expected})
    for (std::ptrdiff_t at = 0; at < std::ssize(*list); at += kHeadDim) {
      const std::vector<float> half(list->begin() + at, list->begin() + at + kHeadDim / 2);
      list->insert(list->begin() + at, half.begin(), half.end());
    }
  for (const Precision precision : {Precision::kFp32Fp8Kv, Precision::kFp16Fp8Kv, Precision::kBf16Fp8Kv}) {
    Target target = state.target;
    target.precision = precision;
    DeviceFixture fixture(state.bench.MakeOps(target));
    StoredPair found = Stored(fixture, in, kHeadDim);
    for (std::size_t i = 0; i < in.size(); ++i)
      if (!std::isfinite(in[i])) found.keys[i] = expected[i];  // times 0
    const Place where(std::string(Name(precision)), {});
    state.check.Bits(OneNan(expected), OneNan(found.keys), where);
    state.check.Bits(OneNan(expected), OneNan(found.values), where);
  }
}

// Every number of a 16-bit format, every midpoint between neighbours and the floats beside it, and what overflows:
// rounded to nearest, ties to even, as an op that writes an operand does it.
void RoundingEdges(CaseState& state) {
  constexpr std::int64_t kCols = 1024;
  state.check.AtLeast("ulp", 2 * 2);
  for (const Precision precision : {Precision::kFp16, Precision::kBf16}) {
    const int exponent_bits = precision.operands == DType::kF16 ? 5 : 8,
              last = precision.operands == DType::kF16 ? 0x7bff : 0x7f7f;
    std::vector<float> in, expected;
    const auto add = [&](float value, double rounded) {
      for (const float sign : {1.0f, -1.0f}) {
        in.push_back(sign * value);
        expected.push_back(sign * static_cast<float>(rounded));
      }
    };
    for (int bits = 0; bits <= last; ++bits) {
      const double here = Decoded(bits, exponent_bits);
      add(static_cast<float>(here), here);
      const double next = bits == last ? 2 * here - Decoded(bits - 1, exponent_bits) : Decoded(bits + 1, exponent_bits);
      const double up = bits == last ? std::numeric_limits<double>::infinity() : next;
      const auto middle = static_cast<float>((here + next) / 2);
      add(middle, bits % 2 == 0 ? here : up);
      if (middle == 0) continue;
      add(std::nextafter(middle, 0.0f), here);
      add(std::nextafter(middle, std::numeric_limits<float>::infinity()), up);
    }
    add(std::numeric_limits<float>::infinity(), std::numeric_limits<double>::infinity());
    add(1e-40f, precision.operands == DType::kF16 ? 0.0 : ToFloat(ToBF16(1e-40f)));
    while (in.size() % kCols != 0) add(0.0f, 0.0);
    Target target = state.target;
    target.precision = precision;
    DeviceFixture fixture(state.bench.MakeOps(target));
    const Looked looked = LookUp(fixture, Tensor(in, kCols));
    const Place where(std::string(Name(precision)), {});
    state.check.Bits(expected, looked.operand, where);
    // And back: an operand that is read is what was written.
    std::vector<float> plain(expected);
    for (float& value : plain)
      if (!std::isfinite(value)) value = 0;
    fixture.Clear();
    const DType type = OperandType(precision);
    state.check.Bits(plain, LookUp(fixture, Tensor(plain, kCols, type)).operand, where);
  }
}

// Blocks of every quantised type with the values that ggml's own code gives for them.
void StoredTypes(CaseState& state) {
  const std::string path = FixtureRoot() + "/goldens/ggml-blocks.bin";
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
  Require(!all.empty(), "{}: cannot be read", path);
  Target target = state.target;
  target.precision = Precision::kFp32;
  DeviceFixture fixture(state.bench.MakeOps(target));
  constexpr std::size_t kTypes = 15;
  state.check.AtLeast("ulp", kTypes);
  std::set<DType> seen;
  for (std::size_t at = 0; at + 16 <= all.size();) {
    std::uint32_t header[4];  // type, bytes, values, values of a block
    std::memcpy(header, all.data() + at, sizeof header);
    at += sizeof header;
    const auto* const blocks = reinterpret_cast<const std::byte*>(all.data() + at);
    std::vector<float> values(header[2]);
    std::memcpy(values.data(), all.data() + at + header[1], 4 * values.size());
    at += header[1] + 4 * values.size();
    const std::optional<DType> type = DTypeFromGgml(header[0]);
    Require(type.has_value(), "{}: unknown type {}", path, header[0]);
    seen.insert(*type);
    fixture.Clear();
    const Place where(std::string(Name(*type)), {});
    if (state.target.exact()) {
      const HostTensor table = Tensor(*type, 1, header[2], blocks, "ggml-blocks.bin");
      state.check.Bits(OneNan(values), OneNan(LookUp(fixture, table).x), where);
    }
    std::vector<float> decoded(values.size());
    DequantiseRow(*type, blocks, decoded.data(), static_cast<std::int64_t>(decoded.size()));
    state.check.Bits(values, decoded, where);
  }
  state.check.True(seen.size() == kTypes, "types", "ggml-blocks.bin", fmt::format("{} of {}", seen.size(), kTypes));
}

// What the encoders write, by ggml's rule: a scale from the largest, halves away from zero (Q8_0), 8.5 added and cut
// (Q4_0).
void EncodedBlocks(CaseState& state) {
  constexpr int kBlocks = 64;
  state.check.AtLeast("ulp", 2 * kBlocks);
  state.check.AtLeast("scale", kBlocks);
  for (int block = 0; block < kBlocks; ++block) {
    std::vector<float> x(32);
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = block == 0       ? 0.0f
             : block % 4 == 1 ? static_cast<float>(static_cast<int>(RandomBits(block, i) % 255) - 127) *
                                    0.5f  // ties of a scale of 1
                              : RandomNormalish(900 + block, i) * std::ldexp(1.0f, block % 11 - 5);
    if (block % 4 == 1) x[5] = block % 8 == 1 ? 127.0f : -127.0f;
    std::array<std::byte, 34> q8{};
    std::array<std::byte, 18> q4{};
    QuantiseRow(DType::kQ8_0, x.data(), q8.data(), 32);
    QuantiseRow(DType::kQ4_0, x.data(), q4.data(), 32);
    const float largest =
        *std::max_element(x.begin(), x.end(), [](float a, float b) { return std::abs(a) < std::abs(b); });
    const float d8 = std::abs(largest) / 127.0f, d4 = largest / -8.0f;
    const float inverse8 = d8 == 0 ? 0 : 1.0f / d8, inverse4 = d4 == 0 ? 0 : 1.0f / d4;
    std::array<float, 32> expected8{}, expected4{}, found8{}, found4{};
    for (std::size_t i = 0; i < x.size(); ++i) {
      expected8[i] = std::clamp(std::round(x[i] * inverse8), -128.0f, 127.0f) + 0.0f;
      expected4[i] = static_cast<float>(std::clamp(static_cast<int>(x[i] * inverse4 + 8.5f), 0, 15));
      found8[i] = static_cast<float>(std::to_integer<std::int8_t>(q8[2 + i]));
      found4[i] = static_cast<float>(std::to_integer<int>(q4[2 + i % 16] >> (i < 16 ? 0 : 4)) & 15);
    }
    const Place where{{"block", block}};
    state.check.Bits(expected8, found8, where);
    state.check.Bits(expected4, found4, where);
    std::uint16_t scales[2];
    std::memcpy(&scales[0], q8.data(), 2);
    std::memcpy(&scales[1], q4.data(), 2);
    state.check.True(std::abs(Decoded(scales[0], 5) - d8) <= d8 * 0x1p-11 + 0x1p-25 &&
                         std::abs(Decoded(scales[1], 5) - d4) <= std::abs(d4) * 0x1p-11 + 0x1p-25,
                     "scale", where);
  }
}

// MXFP4's scales of every exponent, which no recorded block has all of: 2^(e - 127) times half of the doubled codes.
void ExponentScales(CaseState& state) {
  constexpr int kExponents = 255;  // the last one is not a number
  state.check.AtLeast("ulp", kExponents);
  for (int e = 0; e < kExponents; ++e) {
    std::array<std::byte, 17> block{};
    block[0] = static_cast<std::byte>(e);
    for (int i = 0; i < 16; ++i) block[1 + i] = static_cast<std::byte>(i | (15 - i) << 4);
    constexpr double kCodes[16] = {0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6};
    std::array<float, 32> expected{}, found{};
    for (int i = 0; i < 16; ++i) {
      expected[i] = static_cast<float>(std::ldexp(kCodes[i], e - 127));
      expected[i + 16] = static_cast<float>(std::ldexp(kCodes[15 - i], e - 127));
    }
    DequantiseRow(DType::kMXFP4, block.data(), found.data(), 32);
    state.check.Bits(expected, found, {{"exponent", e}});
  }
}

// Tables longer than any embedded vocabulary: every row is its own.
void LongTables(CaseState& state) {
  constexpr int kRows = 70000, kCols = 2;
  state.check.AtLeast("ulp", 1);
  std::vector<float> values;
  for (int row = 0; row < kRows; ++row) values.insert(values.end(), {static_cast<float>(row), 0.5f});
  DeviceFixture fixture(state.bench.MakeOps(state.target));
  state.check.Bits(values, LookUp(fixture, Tensor(values, kCols)).x, "70000 rows");
}

// Weights stacked of parts of unlike types, at widths with and without a tail.
void MixedStacks(CaseState& state) {
  for (const Precision precision : kPrecisions) {
    state.check.AtLeast(fmt::format("op {}", Name(precision)), 4 * 3);
    DeviceFixture fixture(Checked(state, precision));
    for (const std::vector<DType>& types :
         {std::vector{DType::kQ8_0, DType::kQ4_0, DType::kF16}, std::vector{DType::kQ4_0, DType::kF32, DType::kQ8_0},
          std::vector{DType::kBF16, DType::kQ8_0}, std::vector{DType::kF32, DType::kBF16, DType::kF16}}) {
      const std::int64_t cols = 96;
      std::vector<HostTensor> parts;
      int rows = 4;
      for (const DType type : types)
        parts.push_back(Tensor(Numbers(77 + rows, static_cast<std::size_t>(cols * rows)), cols, type)), rows += 2;
      for (const int count : {1, 3, 9}) {
        fixture.Clear();
        const Values x(static_cast<std::size_t>(cols * count),
                       [=] { return Numbers(5, static_cast<std::size_t>(cols * count)); });
        const auto weight = fixture.ops().Prepare(parts, WeightUse::kMatrix);
        float* const out = fixture.Out(static_cast<std::size_t>(weight->rows * count));
        fixture.ops().MatMul(out, *weight, fixture.InOperand(x), count);
        if (weight->rows % 2 != 0) continue;
        const auto gated = fixture.ops().Prepare(parts, WeightUse::kGated);
        void* const operand = fixture.OutOperand(static_cast<std::size_t>(gated->rows / 2 * count));
        fixture.ops().GatedMatMul(operand, *gated, fixture.InOperand(x), count, Activation::kSilu);
      }
    }
  }
}

// Arguments far out, where a formula that is right elsewhere overflows: gates from -1e6 to 1e6, scores in the hundreds,
// logits beyond the cap, a router of equals.
void FarOut(CaseState& state) {
  const std::vector<float> far{-1e30f, -1e6f, -1e4f, -500, -200, -90, -40, -10, -1,   -1e-3f,
                               0,      1e-3f, 1,     10,   40,   90,  200, 500, 1e4f, 1e6f};
  DeviceFixture fixture(Checked(state, Precision::kFp32));
  state.check.AtLeast("op fp32", 2 + 3 + 2 * 7 + 2 * 4);
  state.check.AtLeast("finite", 2);
  state.check.AtLeast("largest score", 3);
  state.check.AtLeast("best of ties", 7);
  state.check.AtLeast("ties of experts", 4);
  for (const Activation activation : {Activation::kSilu, Activation::kGeluTanh}) {
    std::vector<float> gate_up = far;
    gate_up.insert(gate_up.end(), far.size(), 1.0f);
    const auto weight = fixture.ops().Prepare({Tensor(gate_up, 1)}, WeightUse::kGated);
    void* const operand = fixture.OutOperand(far.size());
    fixture.ops().GatedMatMul(operand, *weight, fixture.InOperand(Values(1, [] { return std::vector{1.0f}; })), 1,
                              activation);
    const std::vector<float> found = fixture.ReadOperand(operand, far.size());
    state.check.True(std::ranges::all_of(found, [](float v) { return std::isfinite(v); }), "finite", "far activations");
  }
  // One head whose scores reach 4e4, the largest of them first, in the middle and last: only that one counts.
  constexpr int kDim = 8, kKeys = 6;
  for (const int largest : {0, 4, kKeys - 1}) {
    std::vector<float> q(kDim, 100.0f), keys(kDim * 8, 0.0f), values(kDim * 8, 0.0f);
    for (int j = 0; j < kKeys; ++j)
      for (int d = 0; d < kDim; ++d)
        keys[j * kDim + d] = j == largest ? 50.0f : static_cast<float>(j % 2 == 0 ? 10 * j : -10 * j) - 10.0f,
                        values[j * kDim + d] = static_cast<float>(j + d);
    const FixtureRows rows = fixture.MakeRows({{0, 1, 0, kKeys - 1}}, kKeys);
    const KvView kv{fixture.InOutCache(Values(keys.size(), [&] { return keys; })),
                    fixture.InOutCache(Values(values.size(), [&] { return values; })),
                    8,
                    1,
                    kDim,
                    1};
    void* const out = fixture.OutOperand(kDim);
    fixture.ops().Attention({.out = out,
                             .q = fixture.InOperand(Values(q.size(), [&] { return q; })),
                             .kv = &kv,
                             .rows = &rows.rows,
                             .heads = 1,
                             .window = 0,
                             .scale = 1.0f});
    const std::vector<float> attended = fixture.ReadOperand(out, kDim);
    state.check.True(attended[0] == static_cast<float>(largest), "largest score", {{"key", largest}},
                     fmt::format("found {}", attended[0]));
  }
  // Equal logits, equal only behind the cap, not a number, infinite: the lowest index of the largest.
  struct Ties {
    std::vector<float> raw;
    float cap;
    std::int32_t best;
  };
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  for (const Ties& ties : {Ties{{1, 3, 3, 2}, 0, 1}, Ties{{1, 900, 1000, 950}, 30, 1}, Ties{{nan, nan, -5, -5}, 0, 2},
                           Ties{{nan, nan, nan, nan}, 30, 0}, Ties{{-inf, -inf, -inf, -inf}, 0, 0},
                           Ties{{nan, -inf, inf, inf}, 0, 2}, Ties{{-3, -3, -3, -4}, 5, 0}}) {
    float* const capped = fixture.Out(4);
    std::int32_t* const best = fixture.OutInts(1);
    fixture.ops().Logits({.capped = capped,
                          .best = best,
                          .raw = fixture.In(Values(4, [&] { return ties.raw; })),
                          .rows = 1,
                          .vocab = 4,
                          .cap = ties.cap});
    const std::int32_t found = fixture.Read(best, 1)[0];
    state.check.True(found == ties.best, "best of ties", {{"expected", ties.best}, {"found", found}});
  }
  // A router all of whose experts are equal, and ones whose scores reach so far that of all but one nothing is left: 8
  // experts, the best 3.
  for (const float size : {0.0f, 1.0f, 12.0f, 60.0f}) {
    constexpr int kExperts = 8, kHidden = 16, kTop = 3;
    std::vector<float> router(kExperts * kHidden);
    for (int e = 0; e < kExperts; ++e)
      for (int i = 0; i < kHidden; ++i) router[e * kHidden + i] = size * (e == 5 ? 2.0f : e % 2 == 0 ? 1.0f : -1.0f);
    const std::vector<float> x(kHidden, 1.0f);
    std::int32_t* const expert = fixture.OutInts(kTop);
    fixture.ops().Route({.expert = expert,
                         .weight = fixture.Out(kTop),
                         .x = fixture.In(Values(x.size(), [&] { return x; })),
                         .router = fixture.In(Values(router.size(), [&] { return router; })),
                         .router_scale = fixture.In(Values(x.size(), [&] { return x; })),
                         .expert_scale = nullptr,
                         .rows = 1,
                         .hidden = kHidden,
                         .experts = kExperts,
                         .top_k = kTop,
                         .eps = 1e-6f});
    const std::vector<std::int32_t> chosen = fixture.Read(expert, kTop);
    const std::vector<std::int32_t> expected = size == 0 ? std::vector{0, 1, 2} : std::vector{5, 0, 2};
    // Where nothing is left of a probability, whoever keeps scores for it may tell more than who does not.
    const bool by_index = size > 50 && chosen == std::vector<std::int32_t>{5, 0, 1};
    state.check.True(chosen == expected || by_index, "ties of experts", {{"size", static_cast<int>(size)}},
                     fmt::format("expected [{}], found [{}]", fmt::join(expected, " "), fmt::join(chosen, " ")));
  }
}

}  // namespace

std::vector<Case> OpsCases(Workbench& bench, const std::vector<Target>& targets) {
  std::vector<Case> cases;
  std::set<std::string> devices;
  std::set<std::tuple<std::string, std::string, std::uint64_t>> models;
  const auto add = [&](const char* name, Target target, std::vector<Axes::Axis> own,
                       std::function<void(CaseState&)> body) {
    target.precision = Precision::kFp32;  // each case goes through several modes
    target.batch_invariant = false;
    Case item = MakeCase("Ops", name, target, {}, {Capability::kInternals}, std::move(body));
    item.axes = Axes({{"model", target.axes().Text("model")}, {"device", target.device.kind_name()}});
    if (target.seed_is_axis) item.axes.Set("seed", static_cast<std::int64_t>(target.seed));
    item.seconds = 0.12;
    for (auto& [axis, value] : own) item.axes.Set(axis, value);
    cases.push_back(std::move(item));
  };
  for (const Target& target : targets) {
    if (IsLarge(bench.Spec(target))) continue;
    if (models.insert({target.model, target.device.name(), target.seed}).second) {
      add("WithinSteps", target, {}, WithinSteps);
      cases.back().tokens = 4000;
    }
    if (!devices.insert(target.device.name()).second) continue;
    Target any = target;
    any.model = kAnyModel;
    any.label = kAnyModel;
    any.seed_is_axis = false;
    add("RoundingEdges", any, {}, RoundingEdges);
    add("CacheRoundingEdges", any, {}, CacheRoundingEdges);
    add("StoredTypes", any, {}, StoredTypes);
    add("EncodedBlocks", any, {}, EncodedBlocks);
    add("ExponentScales", any, {}, ExponentScales);
    add("LongTables", any, {}, LongTables);
    add("MixedStacks", any, {}, MixedStacks);
    add("FarOut", any, {}, FarOut);
    for (const OpCaseList& list : AllOpCases())
      add("Listed", any, {{"list", list.name}}, [list](CaseState& state) { ListedCases(state, list); });
  }
  return cases;
}

}  // namespace assay

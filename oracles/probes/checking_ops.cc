#include "oracles/probes/checking_ops.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/base/half.h"
#include "engine/base/quant.h"
#include "engine/weights/store.h"
#include "oracles/reference/formulas.h"

namespace assay {
namespace {

constexpr double kUnit = 0x1p-24;  // half a place of float32, relative
constexpr double kSlack = 8;       // roundings beside those of a sum: scales, reciprocals, a library's last place
constexpr double kTiny = 0x1p-126;
constexpr double kUnderflow = -80;  // below it float32's e^x has no digits left

// A device's products may cut where the host rounds, and its libraries' last places are more.
constexpr double kDeviceArithmetic = 4;

double Gamma(double terms) { return (terms + kSlack) * kUnit; }

// How a type that an op writes rounds: half a place relative to a value, at least to the smallest of its numbers, and
// the largest of them. float32 is what sums are kept in: its roundings are counted where they happen.
struct Places {
  double relative, least, largest;
};
Places PlacesOf(DType type) {
  switch (type) {
    case DType::kF16:
      return {0x1p-11, 0x1p-25, 65504};
    case DType::kBF16:
      return {0x1p-8, 0x1p-134, std::numeric_limits<float>::max()};
    case DType::kF8_E4M3:
      return {0x1p-4, 0x1p-10, 448};
    default:
      return {0, 0, std::numeric_limits<float>::max()};
  }
}

// Half a place of a value.
double HalfPlace(DType type, double value) {
  const Places places = PlacesOf(type);
  return std::max(std::abs(value) * places.relative, places.least);
}

}  // namespace

CheckingOps::Floats CheckingOps::Read(const float* data, std::int64_t count) {
  Floats values(static_cast<std::size_t>(data == nullptr ? 0 : count));
  if (!values.empty()) inner_.memory().CopyOut(values.data(), data, values.size() * sizeof(float));
  return values;
}

CheckingOps::Ints CheckingOps::Read(const std::int32_t* data, std::int64_t count) {
  Ints values(static_cast<std::size_t>(count));
  if (!values.empty()) inner_.memory().CopyOut(values.data(), data, values.size() * sizeof(std::int32_t));
  return values;
}

CheckingOps::Floats CheckingOps::ReadAs(DType type, const void* data, std::int64_t count) {
  std::vector<std::byte> bytes(StoredBytes(type, 1, count));
  if (!bytes.empty()) inner_.memory().CopyOut(bytes.data(), data, bytes.size());
  Floats values(static_cast<std::size_t>(count));
  DequantiseRow(type, bytes.data(), values.data(), count);
  return values;
}

std::unique_ptr<Weight> CheckingOps::Prepare(const std::vector<HostTensor>& parts, WeightUse use) {
  std::unique_ptr<Weight> weight = inner_.Prepare(parts, use);
  weights_[weight.get()] = {weight->rows, weight->cols, parts, use};
  return weight;
}

const CheckingOps::Values& CheckingOps::Of(const Weight& weight) {
  const auto found = weights_.find(&weight);
  Require(found != weights_.end(), "a weight of format {} that was not prepared here", weight.format());
  Values& values = found->second;
  if (!values.all.empty()) return values;
  const std::vector<HostTensor> parts = std::move(values.parts);
  // A device keeps parts of different types under one weight in the mode's.
  const bool uniform = inner_.on_host() || std::all_of(parts.begin(), parts.end(), [&](const HostTensor& part) {
                         return part.type == parts[0].type;
                       });
  std::vector<Floats> each;
  for (const HostTensor& part : parts) {
    each.push_back(ToFloats(part));
    const DType kept =
        uniform ? KeptType(part.type, precision(), values.use, inner_.on_host()) : OperandType(precision());
    // A product by the library takes them expanded to the mode's type.
    if (kept == DType::kQ8_0 || kept == DType::kQ4_0) values.rounding = DeviceRounding();
    for (float& value : each.back()) {
      if (kept == DType::kF16 && part.type != DType::kF16) value = ToFloat(ToF16(value));
      if (kept == DType::kBF16 && part.type != DType::kBF16) value = ToFloat(ToBF16(value));
    }
  }
  for (std::int64_t e = 0; e < weight.experts; ++e)
    for (std::size_t p = 0; p < parts.size(); ++p) {
      const auto first = each[p].begin() + e * parts[p].rows * parts[p].cols;
      values.all.insert(values.all.end(), first, first + parts[p].rows * parts[p].cols);
    }
  return values;
}

void CheckingOps::Put(const char* what, double worst, std::int64_t row, std::int64_t element,
                      const std::string& detail) {
  Place where(fmt::format("{}: {}", site().step, what), {{"step", step_}, {"layer", site().layer}});
  if (worst > 0) where = where.With("row", row).With("element", element);
  Judgement judgement =
      Judged("op", worst, Bound::Fixed(1, "rounding of float32 sums and of the mode's type"), where, detail);
  sink_(judgement);
}

void CheckingOps::Judge(const char* what, const Floats& found, const Reals& expected, std::int64_t width, DType type) {
  double worst = 0;
  std::size_t at = 0;
  const double arithmetic = inner_.on_host() ? 1 : kDeviceArithmetic;
  const double largest = PlacesOf(type).largest;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Real& e = expected[i];
    if (!std::isfinite(e.value) || !std::isfinite(e.error)) continue;
    const double allowed = arithmetic * e.error + HalfPlace(type, std::abs(e.value) + e.error) + kTiny;
    // Beyond the largest number either side of the rounding may be infinite.
    if (std::abs(e.value) + allowed >= largest && (std::isinf(found[i]) || std::abs(found[i]) == largest)) continue;
    double used = std::abs(found[i] - e.value) / allowed;
    if (std::isnan(used)) used = std::numeric_limits<double>::infinity();
    if (used > worst) worst = used, at = i;
  }
  std::string detail;
  if (worst > 0.5)
    detail =
        fmt::format("expected {:.9g} within {:.3g}, found {:.9g}", expected[at].value, expected[at].error, found[at]);
  const auto place = static_cast<std::int64_t>(at);
  Put(what, worst, place / std::max<std::int64_t>(width, 1), place % std::max<std::int64_t>(width, 1), detail);
}

void CheckingOps::Same(const char* what, const Ints& found, const Ints& expected, std::int64_t width) {
  const auto at = std::mismatch(found.begin(), found.end(), expected.begin(), expected.end()).first - found.begin();
  const bool same = found == expected;
  Put(what, same ? 0 : std::numeric_limits<double>::infinity(), at / width, at % width,
      same ? "" : fmt::format("expected {}, found {}", expected[at], found[at]));
}

double CheckingOps::DeviceRounding() const {
  return inner_.on_host() ? 0 : HalfPlace(precision().operands, 1) / kDeviceArithmetic;
}

CheckingOps::Real CheckingOps::Product(const float* w, const float* x, std::int64_t cols, double rounding) {
  double sum = 0, size = 0;
  for (std::int64_t i = 0; i < cols; ++i) {
    const double term = static_cast<double>(w[i]) * x[i];
    sum += term;
    size += std::abs(term);
  }
  return {sum, (Gamma(static_cast<double>(cols)) + rounding) * size};
}

CheckingOps::Real CheckingOps::Times(const Real& a, const Real& b) {
  const double value = a.value * b.value;
  return {value,
          std::abs(a.value) * b.error + std::abs(b.value) * a.error + a.error * b.error + 2 * kUnit * std::abs(value)};
}

CheckingOps::Real CheckingOps::Activated(Activation activation, const Real& x) {
  // Both have slopes below 1.13; their own arithmetic is off by some places of x, because 1 + tanh cancels.
  return {Activate(activation, x.value), 1.13 * x.error + kSlack * kUnit * std::abs(x.value)};
}

void CheckingOps::Rms(Real* x, const float* weight, int width, float eps) {
  double squares = 0, error = 0;
  for (int i = 0; i < width; ++i) {
    squares += x[i].value * x[i].value;
    error += 2 * std::abs(x[i].value) * x[i].error;
  }
  const double mean = squares / width + eps, scale = 1 / std::sqrt(mean);
  const double relative = error / width / (2 * mean) + Gamma(width);
  for (int i = 0; i < width; ++i) {
    const double w = weight != nullptr ? weight[i] : 1.0, value = x[i].value * scale * w;
    x[i] = {value, std::abs(scale * w) * x[i].error + relative * std::abs(value)};
  }
}

void CheckingOps::Embed(const EmbedArgs& args) {
  ++step_;
  Before("Embed");
  inner_.Embed(args);
  const Values& table = Of(*args.table);
  const std::int64_t width = table.cols;
  const Ints token = Read(args.rows->token, args.rows->count);
  Reals expected;
  for (const std::int32_t t : token)
    for (std::int64_t i = 0; i < width; ++i) {
      const double value = static_cast<double>(table.Row(0, t)[i]) * args.scale;
      expected.push_back({value, kUnit * std::abs(value)});
    }
  Judge("Embed", Read(args.x, args.rows->count * width), expected, width);
  if (args.operand != nullptr)
    Judge("Embed operand", ReadOperand(args.operand, args.rows->count * width), expected, width, precision().operands);
}

void CheckingOps::PleInput(const PleInputArgs& args) {
  const std::int64_t all = std::int64_t{args.layers} * args.width;
  const Floats context = Read(args.context, args.rows->count * all), norm = Read(args.norm, args.width);
  const Ints token = Read(args.rows->token, args.rows->count);
  Before("PleInput");
  inner_.PleInput(args);
  const Values& table = Of(*args.table);
  Reals expected;
  for (int r = 0; r < args.rows->count; ++r)
    for (int l = 0; l < args.layers; ++l) {
      Reals x;
      for (int i = 0; i < args.width; ++i) {
        const double value = static_cast<double>(context[r * all + l * args.width + i]) * args.context_scale;
        x.push_back({value, kUnit * std::abs(value)});
      }
      Rms(x.data(), norm.data(), args.width, args.eps);
      for (int i = 0; i < args.width; ++i) {
        const double own = static_cast<double>(table.Row(0, token[r])[l * args.width + i]) * args.token_scale;
        const double sum = (x[i].value + own) * std::sqrt(0.5);
        expected.push_back({sum, x[i].error + Gamma(0) * (std::abs(own) + std::abs(x[i].value))});
      }
    }
  Judge("PleInput", Read(args.ple, args.rows->count * all), expected, all);
}

void CheckingOps::Norm(const NormArgs& args) {
  const std::int64_t count = std::int64_t{args.rows} * args.width;
  const Floats x = Read(args.x, count), weight = Read(args.weight, args.width);
  Before("Norm");
  inner_.Norm(args);
  Reals expected;
  for (const float value : x) expected.push_back({value, 0});
  for (int r = 0; r < args.rows; ++r)
    Rms(expected.data() + std::int64_t{r} * args.width, weight.data(), args.width, args.eps);
  Judge("Norm", ReadOperand(args.operand, count), expected, args.width, precision().operands);
}

void CheckingOps::Residual(const ResidualArgs& args) {
  const std::int64_t count = std::int64_t{args.rows} * args.width;
  const Floats x = Read(args.x, count), delta = Read(args.delta, count), post = Read(args.post_norm, args.width),
               next = Read(args.next_norm, args.width);
  Before("Residual");
  inner_.Residual(args);
  Reals expected;
  for (const float value : delta) expected.push_back({value, 0});
  for (int r = 0; r < args.rows && !post.empty(); ++r)
    Rms(expected.data() + std::int64_t{r} * args.width, post.data(), args.width, args.eps);
  for (std::int64_t i = 0; i < count; ++i) {
    const double sum = (x[i] + expected[i].value) * args.scale;
    expected[i] = {sum, std::abs(args.scale) * expected[i].error +
                            2 * kUnit * (std::abs(x[i]) + std::abs(expected[i].value)) * std::abs(args.scale)};
  }
  const Floats found = Read(args.x, count);
  Judge("Residual", found, expected, args.width);
  if (args.operand == nullptr) return;
  // From what the op made of x: an error of its own was named above.
  Reals operand;
  for (const float value : found) operand.push_back({value, 0});
  for (int r = 0; r < args.rows && !next.empty(); ++r)
    Rms(operand.data() + std::int64_t{r} * args.width, next.data(), args.width, args.eps);
  Judge("Residual operand", ReadOperand(args.operand, count), operand, args.width, precision().operands);
}

void CheckingOps::AddBias(float* x, const float* bias, int rows, int width) {
  const std::int64_t count = std::int64_t{rows} * width;
  const Floats before = Read(x, count), b = Read(bias, width);
  Before("AddBias");
  inner_.AddBias(x, bias, rows, width);
  Reals expected;
  for (std::int64_t i = 0; i < count; ++i) {
    const double sum = static_cast<double>(before[i]) + b[i % width];
    expected.push_back({sum, kUnit * std::abs(sum)});
  }
  Judge("AddBias", Read(x, count), expected, width);
}

void CheckingOps::Join(const JoinArgs& args) {
  const std::int64_t count = std::int64_t{args.rows} * args.width;
  const Floats a = Read(args.a, count), b = Read(args.b, count), norm_a = Read(args.norm_a, args.width),
               norm_b = Read(args.norm_b, args.width);
  Before("Join");
  inner_.Join(args);
  Reals left, right;
  for (std::int64_t i = 0; i < count; ++i) left.push_back({a[i], 0}), right.push_back({b[i], 0});
  for (int r = 0; r < args.rows; ++r) {
    Rms(left.data() + std::int64_t{r} * args.width, norm_a.data(), args.width, args.eps);
    Rms(right.data() + std::int64_t{r} * args.width, norm_b.data(), args.width, args.eps);
  }
  for (std::int64_t i = 0; i < count; ++i)
    left[i] = {left[i].value + right[i].value,
               left[i].error + right[i].error + kUnit * std::abs(left[i].value + right[i].value)};
  Judge("Join", Read(args.sum, count), left, args.width);
}

void CheckingOps::MatMul(float* out, const Weight& weight, const void* x, int rows) {
  const Values& w = Of(weight);
  const Floats in = ReadOperand(x, rows * w.cols);
  Before("MatMul");
  inner_.MatMul(out, weight, x, rows);
  Reals expected;
  for (int r = 0; r < rows; ++r)
    for (std::int64_t o = 0; o < w.rows; ++o)
      expected.push_back(Product(w.Row(0, o), in.data() + r * w.cols, w.cols, w.rounding));
  Judge("MatMul", Read(out, rows * w.rows), expected, w.rows);
}

void CheckingOps::GatedMatMul(void* operand, const Weight& weight, const void* x, int rows, Activation activation) {
  const Values& w = Of(weight);
  const std::int64_t width = w.rows / 2;
  const Floats in = ReadOperand(x, rows * w.cols);
  Before("GatedMatMul");
  inner_.GatedMatMul(operand, weight, x, rows, activation);
  Reals expected;
  for (int r = 0; r < rows; ++r)
    for (std::int64_t o = 0; o < width; ++o)
      expected.push_back(Times(Activated(activation, Product(w.Row(0, o), in.data() + r * w.cols, w.cols, w.rounding)),
                               Product(w.Row(0, width + o), in.data() + r * w.cols, w.cols, w.rounding)));
  Judge("GatedMatMul", ReadOperand(operand, rows * width), expected, width, precision().operands);
}

void CheckingOps::PleGate(const PleGateArgs& args) {
  const Values& w = Of(*args.w);
  const Floats in = ReadOperand(args.x, args.rows * w.cols);
  std::vector<Floats> slices;
  for (int r = 0; r < args.rows; ++r) slices.push_back(Read(args.ple + r * args.ple_stride, w.rows));
  Before("PleGate");
  inner_.PleGate(args);
  Reals expected;
  for (int r = 0; r < args.rows; ++r) {
    const Floats& ple = slices[r];
    for (std::int64_t o = 0; o < w.rows; ++o)
      expected.push_back(Times(
          Activated(args.activation, Product(w.Row(0, o), in.data() + r * w.cols, w.cols, w.rounding)), {ple[o], 0}));
  }
  Judge("PleGate", ReadOperand(args.operand, args.rows * w.rows), expected, w.rows, precision().operands);
}

// Half-split pairs; the angle is the float32 product.
void CheckingOps::Rotate(Real* head, int head_dim, int position, const Floats& inv_freq) const {
  const int half = head_dim / 2;
  for (int d = 0; d < half; ++d) {
    const double angle = static_cast<float>(position) * inv_freq[d], c = std::cos(angle), s = std::sin(angle);
    const Real a = head[d], b = head[d + half];
    const double error = a.error + b.error + Gamma(0) * (std::abs(a.value) + std::abs(b.value));
    head[d] = {a.value * c - b.value * s, error};
    head[d + half] = {b.value * c + a.value * s, error};
  }
}

void CheckingOps::Qkv(const QkvArgs& args) {
  const int dim = args.head_dim, rows = args.rows->count, key_heads = args.kv == nullptr ? 0 : args.kv_heads;
  const int value_heads = args.value_is_key ? 0 : key_heads;
  const std::int64_t width = std::int64_t{args.heads + key_heads + value_heads} * dim;
  const Floats in = Read(args.qkv, rows * width), bias = Read(args.bias, width), q_norm = Read(args.q_norm, dim),
               k_norm = Read(args.k_norm, dim), inv_freq = Read(args.inv_freq, dim / 2);
  const Ints position = Read(args.rows->position, rows), session = Read(args.rows->session, rows);
  Before("Qkv");
  inner_.Qkv(args);
  Reals q, k, v;
  Floats found_k, found_v;
  const auto* const keys = args.kv == nullptr ? nullptr : static_cast<const std::byte*>(args.kv->keys);
  const auto* const values = args.kv == nullptr ? nullptr : static_cast<const std::byte*>(args.kv->values);
  const std::int64_t element = Info(precision().kv).bytes;
  for (int r = 0; r < rows; ++r) {
    Reals row;
    for (std::int64_t i = 0; i < width; ++i) {
      const double x = static_cast<double>(in[r * width + i]) + (bias.empty() ? 0.0 : bias[i]);
      row.push_back({x, bias.empty() ? 0 : kUnit * std::abs(x)});
    }
    for (int h = 0; h < args.heads; ++h) {
      Real* head = row.data() + std::int64_t{h} * dim;
      if (!q_norm.empty()) Rms(head, q_norm.data(), dim, args.eps);
      Rotate(head, dim, position[r], inv_freq);
      q.insert(q.end(), head, head + dim);
    }
    for (int h = 0; h < key_heads && session[r] >= 0; ++h) {
      Real* head = row.data() + std::int64_t{args.heads + h} * dim;
      const Real* of_value = args.value_is_key ? head : head + std::int64_t{key_heads} * dim;
      Reals value(of_value, of_value + dim);
      if (args.v_norm) Rms(value.data(), nullptr, dim, args.eps);
      if (!k_norm.empty()) Rms(head, k_norm.data(), dim, args.eps);
      Rotate(head, dim, position[r], inv_freq);
      k.insert(k.end(), head, head + dim);
      v.insert(v.end(), value.begin(), value.end());
      const std::int64_t at =
          ((std::int64_t{session[r]} * key_heads + h) * args.kv->slots + position[r] % args.kv->slots) * dim;
      const Floats a = ReadAs(precision().kv, keys + at * element, dim),
                   b = ReadAs(precision().kv, values + at * element, dim);
      found_k.insert(found_k.end(), a.begin(), a.end());
      found_v.insert(found_v.end(), b.begin(), b.end());
    }
  }
  Judge("Qkv queries", ReadOperand(args.q, std::int64_t{rows} * args.heads * dim), q, std::int64_t{args.heads} * dim,
        precision().operands);
  if (k.empty()) return;
  Judge("Qkv keys", found_k, k, std::int64_t{key_heads} * dim, precision().kv);
  Judge("Qkv values", found_v, v, std::int64_t{key_heads} * dim, precision().kv);
}

void CheckingOps::Attention(const AttentionArgs& args) {
  const KvView& kv = *args.kv;
  const int dim = kv.head_dim, rows = args.rows->count, group = args.heads / kv.kv_heads;
  const std::int64_t width = std::int64_t{args.heads} * dim, element = Info(precision().kv).bytes;
  const Floats q = ReadOperand(args.q, rows * width);
  const Ints position = Read(args.rows->position, rows), session = Read(args.rows->session, rows);
  Before("Attention");
  inner_.Attention(args);
  struct Cache {
    Floats keys, values;
  };
  std::map<std::int32_t, Cache> caches;
  Reals expected;
  for (int r = 0; r < rows; ++r) {
    if (session[r] < 0) {
      expected.insert(expected.end(), static_cast<std::size_t>(width), {std::numeric_limits<double>::quiet_NaN(), 0});
      continue;
    }
    const auto [known, fresh] = caches.try_emplace(session[r]);
    Cache& cache = known->second;
    if (fresh) {
      const std::int64_t at = session[r] * kv.session_stride() * element;
      cache.keys = ReadAs(precision().kv, static_cast<const std::byte*>(kv.keys) + at, kv.session_stride());
      cache.values = ReadAs(precision().kv, static_cast<const std::byte*>(kv.values) + at, kv.session_stride());
    }
    const int first = args.window > 0 ? std::max(0, position[r] - args.window + 1) : 0, count = position[r] - first + 1;
    for (int h = 0; h < args.heads; ++h) {
      const auto vector = [&](const Floats& of, int j) {
        return of.data() + (std::int64_t{h / group} * kv.slots + (first + j) % kv.slots) * dim;
      };
      std::vector<double> score(static_cast<std::size_t>(count));
      double error = 0, largest = -std::numeric_limits<double>::infinity(), largest_size = 0;
      for (int j = 0; j < count; ++j) {
        const Real product = Product(q.data() + r * width + std::int64_t{h} * dim, vector(cache.keys, j), dim);
        score[j] = product.value * args.scale;
        error = std::max(error, product.error * args.scale);
        largest_size = std::max(largest_size, std::abs(score[j]));
        largest = std::max(largest, score[j]);
      }
      double sum = 0;
      for (double& s : score) sum += s = std::exp(s - largest);
      // A weight is off by the error of its score and of the largest, and by the rounding of both in the exponent.
      const double relative = 2 * error + Gamma(count) + 8 * kUnit * largest_size;
      std::vector<Real> out(static_cast<std::size_t>(dim));
      for (int j = 0; j < count; ++j)
        for (int d = 0; d < dim; ++d) {
          const double term = score[j] / sum * vector(cache.values, j)[d];
          out[d].value += term;
          // A device multiplies weights of the mode's type.
          out[d].error += std::abs(term) * (2 * relative + Gamma(count) + DeviceRounding());
        }
      expected.insert(expected.end(), out.begin(), out.end());
    }
  }
  Judge("Attention", ReadOperand(args.out, rows * width), expected, width, precision().operands);
}

void CheckingOps::Route(const RouteArgs& args) {
  const Floats x = Read(args.x, std::int64_t{args.rows} * args.hidden),
               router = Read(args.router, std::int64_t{args.experts} * args.hidden),
               scale = Read(args.router_scale, args.hidden), expert_scale = Read(args.expert_scale, args.experts);
  Before("Route");
  inner_.Route(args);
  const Ints chosen = Read(args.expert, std::int64_t{args.rows} * args.top_k);
  const Floats weight = Read(args.weight, std::int64_t{args.rows} * args.top_k);
  Reals expected;
  double swap = 0;  // the most by which a chosen expert stands behind one that was not, over what arithmetic explains
  std::int64_t swap_row = 0;
  std::string swapped;
  for (int r = 0; r < args.rows; ++r) {
    Reals input;
    for (int i = 0; i < args.hidden; ++i) input.push_back({x[std::int64_t{r} * args.hidden + i], 0});
    Rms(input.data(), scale.data(), args.hidden, args.eps);
    const double root = 1 / std::sqrt(static_cast<double>(args.hidden));
    std::vector<double> z(static_cast<std::size_t>(args.experts));
    double error = 0, size_of_z = 0;
    for (int e = 0; e < args.experts; ++e) {
      double size = 0, own = 0;
      for (int i = 0; i < args.hidden; ++i) {
        const double w = router[std::int64_t{e} * args.hidden + i] * root;
        z[e] += w * input[i].value;
        size += std::abs(w * input[i].value);
        own += std::abs(w) * input[i].error;
      }
      error = std::max(error, own + Gamma(args.hidden) * size);
      size_of_z = std::max(size_of_z, std::abs(z[e]));
    }
    error += 4 * kUnit * size_of_z;
    const std::int32_t* const mine = chosen.data() + std::int64_t{r} * args.top_k;
    const double largest = *std::max_element(z.begin(), z.end());
    double sum = 0;
    for (int k = 0; k < args.top_k; ++k) sum += std::exp(z[mine[k]] - largest);
    for (int k = 0; k < args.top_k; ++k) {
      const double value = std::exp(z[mine[k]] - largest) / sum * (expert_scale.empty() ? 1.0 : expert_scale[mine[k]]);
      expected.push_back({value, (4 * error + Gamma(args.experts)) * std::abs(value)});
      // Whoever is not chosen before: worse, or as good and of a higher index.
      for (int e = 0; e < args.experts; ++e) {
        if (std::find(mine, mine + k + 1, e) != mine + k + 1 || z[mine[k]] - largest < kUnderflow) continue;
        const bool same_input = std::equal(router.begin() + std::int64_t{e} * args.hidden,
                                           router.begin() + std::int64_t{e + 1} * args.hidden,
                                           router.begin() + std::int64_t{mine[k]} * args.hidden);
        const double behind = same_input ? (e < mine[k] ? std::numeric_limits<double>::infinity() : 0)
                                         : (z[e] - z[mine[k]]) / (2 * error + kTiny);
        if (behind > swap) {
          swap = behind;
          swap_row = r;
          swapped = fmt::format("expert {} is chosen before {}: {:.9g} before {:.9g}", mine[k], e, z[mine[k]], z[e]);
        }
      }
    }
  }
  Put("Route choice", swap, swap_row, 0, swap > 1 ? swapped : "");
  Judge("Route weight", weight, expected, args.top_k);
}

void CheckingOps::ExpertGated(const ExpertGatedArgs& args) {
  const Values& w = Of(*args.w);
  const std::int64_t width = w.rows / 2, pairs = std::int64_t{args.rows} * args.top_k;
  const Floats in = ReadOperand(args.x, args.rows * w.cols);
  const Ints expert = Read(args.expert, pairs);
  Before("ExpertGated");
  inner_.ExpertGated(args);
  Reals expected;
  for (std::int64_t a = 0; a < pairs; ++a)
    for (std::int64_t o = 0; o < width; ++o) {
      const float* x = in.data() + a / args.top_k * w.cols;
      expected.push_back(Times(Activated(args.activation, Product(w.Row(expert[a], o), x, w.cols, w.rounding)),
                               Product(w.Row(expert[a], width + o), x, w.cols, w.rounding)));
    }
  Judge("ExpertGated", ReadOperand(args.operand, pairs * width), expected, width * args.top_k, precision().operands);
}

void CheckingOps::ExpertDown(const ExpertDownArgs& args) {
  const Values& w = Of(*args.w);
  const std::int64_t pairs = std::int64_t{args.rows} * args.top_k;
  const Floats in = ReadOperand(args.x, pairs * w.cols), weight = Read(args.weight, pairs);
  const Ints expert = Read(args.expert, pairs);
  Before("ExpertDown");
  inner_.ExpertDown(args);
  Reals expected;
  for (int r = 0; r < args.rows; ++r)
    for (std::int64_t o = 0; o < w.rows; ++o) {
      Real sum;
      for (std::int64_t a = std::int64_t{r} * args.top_k; a < std::int64_t{r + 1} * args.top_k; ++a) {
        const Real term =
            Times({weight[a], 0}, Product(w.Row(expert[a], o), in.data() + a * w.cols, w.cols, w.rounding));
        sum.value += term.value;
        sum.error += term.error + Gamma(args.top_k) * std::abs(term.value);
      }
      expected.push_back(sum);
    }
  Judge("ExpertDown", Read(args.out, args.rows * w.rows), expected, w.rows);
}

void CheckingOps::Logits(const LogitsArgs& args) {
  const std::int64_t count = std::int64_t{args.rows} * args.vocab;
  const Floats raw = Read(args.raw, count);
  Before("Logits");
  inner_.Logits(args);
  Reals expected;
  for (const float value : raw) {
    const double z = Softcap<double>(value, args.cap);
    expected.push_back({z, args.cap > 0 ? kSlack * kUnit * std::min<double>(args.cap, std::abs(value)) : 0});
  }
  Floats capped = Read(args.capped, count);
  if (!capped.empty()) Judge("Logits", capped, expected, args.vocab);
  if (args.best == nullptr) return;
  // The largest of what the op says, or, where it keeps that for itself, one that float32 may take for it.
  const Ints best = Read(args.best, args.rows);
  double worst = 0;
  std::int64_t row = 0;
  std::string detail;
  for (int r = 0; r < args.rows; ++r) {
    const std::int64_t first = std::int64_t{r} * args.vocab;
    int right = -1;
    for (int i = 0; i < args.vocab; ++i) {
      const double value = capped.empty() ? expected[first + i].value : capped[first + i];
      const double top = right < 0 ? 0 : capped.empty() ? expected[first + right].value : capped[first + right];
      if (!std::isnan(value) && (right < 0 || value > top)) right = i;
    }
    right = std::max(right, 0);
    if (best[r] == right) continue;
    const bool inside = best[r] >= 0 && best[r] < args.vocab;
    const Real a = expected[first + right], b = inside ? expected[first + best[r]] : Real{};
    const bool tie = inside && capped.empty() && a.value - b.value <= a.error + b.error && a.error + b.error > 0;
    if (tie) continue;
    worst = std::numeric_limits<double>::infinity();
    row = r;
    detail = fmt::format("expected token {}, found {}", right, best[r]);
  }
  Put("Logits best", worst, row, 0, detail);
}

void CheckingOps::GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) {
  Before("GatherRows");
  inner_.GatherRows(out, in, index, count, row_bytes);
  const Ints rows = Read(index, count);
  std::vector<std::byte> a(static_cast<std::size_t>(row_bytes)), b = a;
  for (int i = 0; i < count; ++i) {
    inner_.memory().CopyOut(a.data(), static_cast<const std::byte*>(in) + rows[i] * row_bytes, a.size());
    inner_.memory().CopyOut(b.data(), static_cast<const std::byte*>(out) + i * row_bytes, b.size());
    const auto at = std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin();
    const bool same = a == b;
    Put("GatherRows", same ? 0 : std::numeric_limits<double>::infinity(), i, same ? 0 : at,
        same ? "" : "bytes differ from those of the row gathered");
  }
}

void CheckingOps::Advance(const AdvanceArgs& args) {
  const Ints best = Read(args.best, args.rows), position = Read(args.position, args.rows), step = Read(args.step, 1);
  Before("Advance");
  inner_.Advance(args);
  Ints next = position, first;
  for (std::int32_t& p : next) ++p;
  std::vector<Segment> segments(static_cast<std::size_t>(args.rows));
  inner_.memory().CopyOut(segments.data(), args.segment, segments.size() * sizeof(Segment));
  for (const Segment& segment : segments) first.push_back(segment.first_position);
  Same("Advance token", Read(args.token, args.rows), best, 1);
  Same("Advance position", Read(args.position, args.rows), next, 1);
  Same("Advance segment", first, next, 1);
  Same("Advance history", Read(args.history + std::int64_t{step[0]} * args.rows, args.rows), best, 1);
  Same("Advance step", Read(args.step, 1), {step[0] + 1}, 1);
}

}  // namespace assay

#include "suites/parity/reference_programs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "engine/weights/stored_types.h"
#include "oracles/reference/single_user_cuda.h"
#include "suites/parity/parity.h"
#include "suites/parity/streams.h"

namespace assay {
namespace {

constexpr double kFloat64Bound = 0x1p-36;
// How far the median errors of two twins may be apart. Roundings to 16 bits are the same ones, and what two orders of
// summation change in them is little: 1.25 seen. In float32 the order is all there is: partial sums of many threads err
// less than one long sum, by the root of its length at most, but not more.
// Where Q8_0 and Q4_0 matrices are kept, the host's twin rounds their values to the mode's type, as the engine's
// products of many rows do; CUDA's does not, as its products of few rows do not: half of the variance of a product is
// gone then.
constexpr double kMedianRatio = 1.5;
constexpr double kBetterInFloat32 = 4;
constexpr double kBetterWithBlocks = kMedianRatio * std::numbers::sqrt2;

double BetterBound(CaseState& state) {
  if (state.target.precision == Precision::kFp32) return kBetterInFloat32;
  const std::map<TensorKey, DType> types = StoredTypes(state.bench.Store(state.target));
  const bool blocks = std::any_of(types.begin(), types.end(),
                                  [](const auto& t) { return t.second == DType::kQ8_0 || t.second == DType::kQ4_0; });
  return blocks ? kBetterWithBlocks : kMedianRatio;
}

// Twice the window and more, so that it is passed on every layer.
int LengthFor(const ModelSpec& spec) { return std::clamp(2 * SmallestWindow(spec) + 8, 40, 160); }

// Two decoders that are fed alike and must say alike.
class Pair {
 public:
  Pair(std::unique_ptr<ReferenceDecoder> expected, std::unique_ptr<ReferenceDecoder> found, Checker& check)
      : expected_(std::move(expected)), found_(std::move(found)), check_(check) {}

  Pair Fork() const { return {expected_->Fork(), found_->Fork(), check_}; }
  void Truncate(int length) {
    expected_->Truncate(length);
    found_->Truncate(length);
  }
  void Skip(std::span<const std::int32_t> tokens) {
    for (const std::int32_t token : tokens) {
      expected_->Skip(token);
      found_->Skip(token);
    }
  }
  void Step(std::span<const std::int32_t> tokens, const char* what) {
    for (const std::int32_t token : tokens) {
      const Place where{what, {{"position", expected_->length()}}};
      const ReferenceStep expected = expected_->Step(token), found = found_->Step(token);
      Same(expected.raw, found.raw, "raw_logits", where);
      Same(expected.capped, found.capped, "capped_logits", where);
      check_.True(expected.hidden.size() == found.hidden.size(), "hidden entries", where);
      for (std::size_t i = 0; i < std::min(expected.hidden.size(), found.hidden.size()); ++i)
        Same(expected.hidden[i], found.hidden[i], "hidden", where.With("entry", static_cast<std::int64_t>(i)));
    }
    check_.True(expected_->length() == found_->length(), "length", what);
  }

 private:
  void Same(const std::vector<double>& expected, const std::vector<double>& found, const char* metric,
            const Place& where) {
    check_.Add(JudgeTensor(expected, found,
                           Bound::Fixed(kFloat64Bound, "order of float64 sums: 2^-36 of the largest value"), metric,
                           where, Measure::kRelative));
  }

  std::unique_ptr<ReferenceDecoder> expected_, found_;
  Checker& check_;
};

}  // namespace

void JudgeReferenceProgram(CaseState& state, const ReferenceMaker& make) {
  const WeightStore& store = state.bench.Store(state.target);
  const ReferenceOptions options{.keep_hidden = true, .twin = {}};
  const int length = LengthFor(store.spec()), half = length / 2;
  const Tokens first = state.MadeUp(kReferenceProgramsStream, length),
               second = state.MadeUp(kReferenceProgramsStream + 1, length),
               third = state.MadeUp(kReferenceProgramsStream + 2, length);
  const std::span<const std::int32_t> text(first), other(second), more(third);

  for (const char* metric : {"raw_logits", "capped_logits", "hidden entries"})
    state.check.AtLeast(metric, half + (length - half) + (length - half) + half + 8);
  Pair straight(MakeReference(store, options), make(store, options), state.check);
  straight.Step(text.first(half), "straight");
  Pair fork = straight.Fork();
  fork.Step(other.subspan(half), "fork");
  straight.Step(text.subspan(half), "origin of a fork");
  straight.Truncate(length / 3);
  straight.Step(more.first(half), "after a truncate");
  Pair skipping(MakeReference(store, options), make(store, options), state.check);
  skipping.Skip(other.first(half));
  skipping.Step(other.subspan(half, 8), "after skipped logits");
}

void JudgeTwinProgram(CaseState& state, const ReferenceMaker& make, const TwinArithmetic& arithmetic) {
  const WeightStore& store = state.bench.Store(state.target);
  const ReferenceOptions options{.keep_hidden = false, .twin = arithmetic};
  const auto reference = MakeReference(store), expected = MakeReference(store, options), found = make(store, options);
  // Under the reference's choices of experts: where two are as good as equal, rounding would choose, and MatchesHost
  // compares the choices.
  std::map<int, std::vector<std::size_t>> experts;  // of the token, by layer
  reference->SetRouting(
      [&](int layer, std::span<const double>, std::vector<std::size_t>& chosen) { experts[layer] = chosen; });
  for (ReferenceDecoder* twin : {expected.get(), found.get()})
    twin->SetRouting(
        [&](int layer, std::span<const double>, std::vector<std::size_t>& chosen) { chosen = experts.at(layer); });
  Calibrator of_expected, of_found;
  for (int session = 0; session < 3; ++session) {
    for (ReferenceDecoder* decoder : {reference.get(), expected.get(), found.get()}) decoder->Truncate(0);
    for (const std::int32_t token : state.MadeUp(kReferenceProgramsStream + 10 + session, LengthFor(store.spec()))) {
      const std::vector<double> exact = reference->Step(token).raw;
      of_expected.Add(exact, expected->Step(token).raw);
      of_found.Add(exact, found->Step(token).raw);
    }
  }
  const Calibration host = of_expected.Finish("host twin"), other = of_found.Finish("twin under test");
  const double change = other.typical_rms / host.typical_rms;
  state.check.Add(
      Judged("median_error_ratio", std::max(change, 1 / change),
             Bound::Fixed(change < 1 ? BetterBound(state) : kMedianRatio, "two orders of summation"), {},
             fmt::format("median rms error {:.3g}, of the host's twin {:.3g}", other.typical_rms, host.typical_rms)));
  Judgement largest = Judged("largest_error", other.largest, LogitTolerance::From(host).max_abs, {},
                             fmt::format("{:.3g}, of the host's twin {:.3g}", other.largest, host.largest));
  // The largest of so many rows, of which each exceeds the quantile once in a thousand.
  largest.soft_probability = 1 - std::pow(kCalibrationQuantile, other.rows);
  state.check.Add(largest);
}

std::vector<Case> CudaReferenceCases(Workbench& bench, const Target& target) {
  std::vector<Case> cases;
  if (target.device.on_host() || IsLarge(bench.Spec(target))) return cases;
  const ReferenceMaker make = [device = target.device](const WeightStore& store, const ReferenceOptions& options) {
    return MakeCudaReference(store, options, device);
  };
  // Float64 has no mode: once is enough.
  if (target.precision == Precision::kFp32)
    cases.push_back(MakeCase("CudaReference", "MatchesHost", target, {}, {},
                             [make](CaseState& state) { JudgeReferenceProgram(state, make); }));
  cases.push_back(MakeCase("CudaReference", "TwinMatchesHost", target, {}, {},
                           [make](CaseState& state) { JudgeTwinProgram(state, make, state.target.precision); }));
  cases.back().tokens = 7000;
  // As other engines round: what one operation hands to the next as well.
  if (target.precision == Precision::kBf16) {
    TwinArithmetic stream(target.precision);
    stream.stream = DType::kBF16;
    cases.push_back(MakeCase("CudaReference", "StreamTwinMatchesHost", target, {}, {},
                             [make, stream](CaseState& state) { JudgeTwinProgram(state, make, stream); }));
    cases.back().tokens = 7000;
  }
  return cases;
}

}  // namespace assay

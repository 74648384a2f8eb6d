#include "suites/support/calibration.h"

#include <fmt/core.h>

#include <map>
#include <vector>

#include "engine/base/random.h"
#include "suites/support/routing.h"
#include "suites/support/workbench.h"

namespace assay {
namespace {

// Calibration sets: sessions x tokens. Short ones serve for long contexts too: on the tiny and nano models a twin's
// median error after 600 tokens is 0.5 to 1.2 of that in the first 32 in bf16, 0.8 to 1.7 in fp32.
constexpr int kTokens = 32;
constexpr int kStream = 1'000'000;  // streams no case uses

// Of 1024 rows the 0.999 quantile is one; of 128 it is their largest, which one row in 129 exceeds. Small models have
// random weights whose errors vary most; on larger ones more rows would cost more than they tell. With experts errors
// in float32 are alike, but for a rare row where another expert is chosen: that one must not become the tolerance.
int SessionsFor(const ModelSpec& spec, Precision precision) {
  return WeightCount(spec) <= 1'000'000 && !(HasExperts(spec) && precision == Precision::kFp32) ? 32 : 4;
}

}  // namespace

LogitTolerance Calibrate(Workbench& bench, const Target& target) {
  const WeightStore& store = bench.Store(target);
  const TwinArithmetic arithmetic = bench.ArithmeticOf(target);
  const std::unique_ptr<ReferenceDecoder> twin =
      bench.references().MakeDecoder(target, {.keep_hidden = false, .twin = arithmetic});
  Calibrator calibrator;
  const int sessions = SessionsFor(store.spec(), target.precision);
  for (int s = 0; s < sessions; ++s) {
    const Tokens tokens = RandomTokens(target.seed, kStream + s, kTokens, store.spec().vocab);
    const ReferenceSession& reference = bench.references().Rows(target, tokens);
    twin->Truncate(0);
    for (int i = 0; i < kTokens; ++i) calibrator.Add(reference.Raw(i), twin->Step(tokens[i]).raw);
  }
  return LogitTolerance::From(calibrator.Finish(
      fmt::format("{} twin of {} (weights {:.12}), seed {}, {} sessions x {} tokens", Describe(arithmetic),
                  store.spec().name, store.Identity(), target.seed, sessions, kTokens)));
}

RoutingTolerance CalibrateRouting(Workbench& bench, const Target& target) {
  const WeightStore& store = bench.Store(target);
  const std::unique_ptr<ReferenceDecoder> reference = bench.references().MakeDecoder(target);
  const std::unique_ptr<ReferenceDecoder> twin =
      bench.references().MakeDecoder(target, {.keep_hidden = false, .twin = target.precision});
  struct Choice {
    std::vector<double> p;
    std::vector<std::size_t> chosen;
  };
  std::map<int, Choice> exact;  // by layer, of the token at hand
  reference->SetRouting([&](int layer, std::span<const double> p, std::vector<std::size_t>& chosen) {
    exact[layer] = {{p.begin(), p.end()}, chosen};
  });
  RoutingErrors errors;
  twin->SetRouting([&](int layer, std::span<const double> p, std::vector<std::size_t>& chosen) {
    errors.Add(exact.at(layer).p, p, chosen.size());
    chosen = exact.at(layer).chosen;
  });
  Calibrator calibrator;
  const int sessions = SessionsFor(store.spec(), target.precision);
  for (int s = 0; s < sessions; ++s) {
    const Tokens tokens = RandomTokens(target.seed, kStream + s, kTokens, store.spec().vocab);
    reference->Truncate(0);
    twin->Truncate(0);
    for (const std::int32_t token : tokens) {
      const std::vector<double> raw = reference->Step(token).raw;
      calibrator.Add(raw, twin->Step(token).raw);
    }
  }
  return {LogitTolerance::From(calibrator.Finish(fmt::format(
              "{} twin of {} (weights {:.12}) under the reference's routing, seed {}, {} sessions x {} tokens",
              Name(target.precision), store.spec().name, store.Identity(), target.seed, sessions, kTokens))),
          errors.Margin(), errors.Sigma()};
}

}  // namespace assay

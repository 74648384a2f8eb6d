#include "suites/golden/golden_suite.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <utility>

#include "suites/golden/answerers.h"
#include "suites/support/embedded.h"

namespace assay {

void RequireSameVocabulary(const GoldenTrace& trace, const ModelSpec& spec) {
  Require(trace.vocab == spec.vocab, "{}: rows of {} logits, but {} has a vocabulary of {}", trace.file, trace.vocab,
          spec.name, spec.vocab);
}

namespace {

GoldenTolerance Float32Recording(Workbench& bench, const Target& target) {
  if (target.precision != Precision::kFp32) {
    GoldenTolerance tolerance = GoldenTolerance::Fp32();
    tolerance.logits = bench.references().Tolerance(target);
    return tolerance;
  }
  if (IsLarge(bench.Spec(target))) return GoldenTolerance::Fp32Large();
  return GoldenTolerance::Fp32(&bench.references().Tolerance(target));
}

double LargestLogit(const GoldenTrace& trace) {
  double largest = 0;
  for (const GoldenSequence& s : trace.sequences)
    for (const std::vector<float>* values : {&s.logits, &s.greedy_logits})
      for (const float value : *values) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;
}

void Widen(Bound& bound, const Bound& recording, double rounding, Precision precision) {
  bound.soft += recording.soft + rounding;
  bound.hard += recording.hard + rounding;
  bound.from = fmt::format("{}; recorded in {}: + {}, + {:.3g} for rounded logits", bound.from.str(), Name(precision),
                           recording.from.str(), rounding);
}

}  // namespace

GoldenTolerance GoldenToleranceOf(Workbench& bench, const Target& target, const GoldenTrace& trace) {
  GoldenTolerance tolerance = Float32Recording(bench, target);
  if (trace.precision == Precision::kFp32) return tolerance;
  Target recorder = target;
  recorder.precision = trace.precision;
  Require(bench.references().Bounds(recorder), "{}: recorded in {}: no twin of {} says how far that may be from exact",
          trace.file, Name(trace.precision), target.model);
  const LogitTolerance& own = bench.references().Tolerance(recorder);
  const double unit = trace.precision == Precision::kBf16 ? 0x1p-9 : 0x1p-12, rounding = unit * LargestLogit(trace);
  LogitTolerance& logits = tolerance.logits;
  Widen(logits.max_abs, own.max_abs, rounding, trace.precision);
  Widen(logits.rms, own.rms, rounding, trace.precision);
  logits.tie += own.tie + rounding;
  logits.sigma = std::hypot(logits.sigma, own.sigma, rounding);
  // Errors of both sides add before the divergence squares them.
  logits.mean_kl = 2 * (logits.mean_kl + own.mean_kl) + rounding * rounding;
  tolerance.hidden =
      Bound::Fixed(64 * unit, fmt::format("recorded in {}: 64 units of its last place", Name(trace.precision)));
  return tolerance;
}

Case GoldenReferenceCase(Workbench& bench, const Target& target, const std::string& trace,
                         const GoldenOptions& options) {
  Target reference = target;
  reference.precision = Precision::kFp32;
  reference.batch_invariant = false;
  if (!IsLarge(bench.Spec(target))) reference.device = Device::Host();
  Case item = MakeCase("Golden", "ReferenceMatches", reference, {}, {}, [trace, options](CaseState& state) {
    const GoldenTrace recorded = ReadGolden(trace, options);
    RequireSameVocabulary(recorded, state.spec());
    const GoldenTolerance tolerance = GoldenToleranceOf(state.bench, state.target, recorded);
    ReferenceAnswerer answerer(state.references().MakeDecoder(state.target, {.keep_hidden = true, .twin = {}}));
    JudgeGolden(recorded, answerer, tolerance, state.check);
  });
  item.axes = Axes({{"model", reference.axes().Text("model")}, {"device", reference.device.kind_name()}});
  if (target.seed_is_axis) item.axes.Set("seed", static_cast<std::int64_t>(target.seed));
  item.tokens = 4000;
  return item;
}

std::vector<Case> GoldenSystemCases(Workbench& bench, const Target& target, const std::string& trace,
                                    const GoldenOptions& options) {
  if (!bench.references().Bounds(target)) return {};
  using enum Capability;
  return {
      MakeCase("Golden", "SystemMatches", target, {}, {kLogits, kBatch, kMixed}, [trace, options](CaseState& state) {
        const GoldenTrace recorded = ReadGolden(trace, options);
        RequireSameVocabulary(recorded, state.spec());
        const GoldenTolerance tolerance = GoldenToleranceOf(state.bench, state.target, recorded);
        SystemAnswerer system(state, recorded);
        JudgeGolden(recorded, system, tolerance, state.check);
      })};
}

std::vector<Case> GoldenCases(Workbench& bench, const std::vector<Target>& targets) {
  std::vector<Case> cases;
  std::set<std::pair<std::string, std::uint64_t>> referenced;
  for (const Target& target : targets) {
    const std::string trace = GoldensOf(target.model);
    if (trace.empty()) continue;
    if (referenced.insert({target.model, target.seed}).second)
      cases.push_back(GoldenReferenceCase(bench, target, trace));
    std::vector<Case> more = GoldenSystemCases(bench, target, trace);
    std::move(more.begin(), more.end(), std::back_inserter(cases));
  }
  return cases;
}

}  // namespace assay

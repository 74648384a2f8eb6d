#include "suites/golden/golden_suite.h"

#include <algorithm>
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

GoldenTolerance GoldenToleranceOf(Workbench& bench, const Target& target) {
  if (target.precision != Precision::kFp32) {
    GoldenTolerance tolerance = GoldenTolerance::Fp32();
    tolerance.logits = bench.references().Tolerance(target);
    return tolerance;
  }
  if (IsLarge(bench.Spec(target))) return GoldenTolerance::Fp32Large();
  return GoldenTolerance::Fp32(&bench.references().Tolerance(target));
}

Case GoldenReferenceCase(Workbench& bench, const Target& target, const std::string& trace) {
  Target reference = target;
  reference.precision = Precision::kFp32;
  reference.batch_invariant = false;
  if (!IsLarge(bench.Spec(target))) reference.device = Device::Host();
  Case item = MakeCase("Golden", "ReferenceMatches", reference, {}, {}, [trace](CaseState& state) {
    const GoldenTrace recorded = ReadGolden(trace);
    RequireSameVocabulary(recorded, state.spec());
    const GoldenTolerance tolerance = GoldenToleranceOf(state.bench, state.target);
    ReferenceAnswerer answerer(state.references().MakeDecoder(state.target, {.keep_hidden = true, .twin = {}}));
    JudgeGolden(recorded, answerer, tolerance, state.check);
  });
  item.axes = Axes({{"model", reference.axes().Text("model")}, {"device", reference.device.kind_name()}});
  if (target.seed_is_axis) item.axes.Set("seed", static_cast<std::int64_t>(target.seed));
  return item;
}

std::vector<Case> GoldenSystemCases(Workbench& bench, const Target& target, const std::string& trace) {
  if (!bench.references().Bounds(target)) return {};
  using enum Capability;
  return {MakeCase("Golden", "SystemMatches", target, {}, {kLogits, kBatch}, [trace](CaseState& state) {
    const GoldenTrace recorded = ReadGolden(trace);
    RequireSameVocabulary(recorded, state.spec());
    const GoldenTolerance tolerance = GoldenToleranceOf(state.bench, state.target);
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

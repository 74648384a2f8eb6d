#include <fmt/core.h>

#include "suites/parity/parity.h"
#include "suites/parity/streams.h"

namespace assay {
namespace {

constexpr int kDeclaringSessions = 6, kDeclaringTokens = 24;
constexpr double kFactor = 4;  // by which two programs of one arithmetic may differ in their median error

// What a system declares of its arithmetic says how far from exact it may be. A system that is much further off does
// not compute as it says; one that is much closer has asked for a tolerance that hides mistakes.
void Arithmetic(CaseState& state) {
  const TwinArithmetic arithmetic = state.bench.ArithmeticOf(state.target);
  const auto reference = state.references().MakeDecoder(state.target, {}),
             twin = state.references().MakeDecoder(state.target, {.keep_hidden = false, .twin = arithmetic});
  const auto system = state.Open(StraightOptions(state.spec(), 1, kDeclaringTokens));
  Calibrator of_system, of_twin;
  for (int i = 0; i < kDeclaringSessions; ++i) {
    const Tokens tokens = state.MadeUp(kDeclarationStream + i, kDeclaringTokens);
    const SessionId session = system->Open();
    const StepResult rows = system->Prefill(session, tokens, Want::kAll);
    system->Close(session);
    reference->Truncate(0);
    twin->Truncate(0);
    for (int t = 0; t < kDeclaringTokens; ++t) {
      const std::vector<double> exact = reference->Step(tokens[t]).capped;
      of_system.Add(exact, Widen(rows.Capped(t)));
      of_twin.Add(exact, twin->Step(tokens[t]).capped);
    }
  }
  const double found = of_system.Finish("system").typical_rms, declared = of_twin.Finish("twin").typical_rms;
  const std::string what =
      fmt::format("median rms error {:.3g}, of {}, which it declares, {:.3g}", found, Describe(arithmetic), declared);
  const Bound bound = Bound::Fixed(kFactor, "two programs of one arithmetic");
  state.check.Add(Judged("error over declared", found / declared, bound, {},
                         what + (found > kFactor * declared ? ": it rounds more than it says" : "")));
  state.check.Add(Judged("declared over error", declared / found, bound, {},
                         what + (declared > kFactor * found ? ": the declaration is too lax" : "")));
}

}  // namespace

std::vector<Case> DeclarationCases(Workbench& bench, const Target& target) {
  if (bench.provider().Describe().protocol == 0 || IsLarge(bench.Spec(target)) || !bench.references().Bounds(target))
    return {};
  return {MakeCase("Declaration", "Arithmetic", target, {}, {Capability::kLogits}, Arithmetic)};
}

}  // namespace assay

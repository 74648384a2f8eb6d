#include "suites/parity/divergence.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "oracles/probes/checking_ops.h"
#include "oracles/probes/tracing_ops.h"
#include "suites/parity/parity.h"
#include "suites/parity/streams.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

std::unique_ptr<EngineProvider> Made(const EngineMaker& engines) {
  return engines ? engines() : std::make_unique<EngineProvider>();
}

struct Again {
  std::optional<Judgement> op;  // the first of the run that is off by its own inputs
  std::string row;              // the first comparison that is outside, of the case's worst metric
};

Again RunAgain(const Case& item, const EngineMaker& engines) {
  const auto first = std::make_shared<std::optional<Judgement>>();
  std::unique_ptr<EngineProvider> provider = Made(engines);
  provider->Watch([first](std::unique_ptr<Ops> ops) -> std::unique_ptr<Ops> {
    return std::make_unique<OwningProbe<CheckingOps>>(std::move(ops), [first](const Judgement& judgement) {
      if (!*first && judgement.verdict == Verdict::kWrong) *first = judgement;
    });
  });
  Workbench bench(std::move(provider));
  const CaseOutcome outcome = CaseRunner(bench).Run(item);
  Again again{*first, ""};
  const Judgement* worst = nullptr;
  for (const Judgement& judgement : outcome.judgements)
    if (worst == nullptr || IsWorse(judgement, *worst)) worst = &judgement;
  if (worst != nullptr && worst->first_outside) again.row = worst->first_outside->ToString();
  return again;
}

// The first layer whose output is further from the reference's than four times the twin's.
std::string FirstWrongLayer(const Case& item, const EngineMaker& engines) {
  constexpr double kAllowed = 4;
  Workbench bench(Made(engines));
  const Target& target = item.target;
  const ModelSpec& spec = bench.Spec(target);
  const int length = std::min(64, 2 * WindowWithin(spec, 4, 24) + 8);
  const Tokens tokens = RandomTokens(target.seed, kDivergenceStream, length, spec.vocab);
  const std::unique_ptr<Ops> ops = bench.MakeOps(target);
  TracingOps tracing(*ops);
  EngineOptions options = StraightOptions(spec, 1, length);
  options.skip_tail = false;
  const auto system = bench.OpenEngine(target, options, tracing);
  system->Prefill(system->Open(), tokens, Want::kAll);
  const auto reference = bench.references().MakeDecoder(target, {.keep_hidden = true, .twin = {}});
  const auto twin = bench.references().MakeDecoder(target, {.keep_hidden = true, .twin = target.precision});
  std::vector<ReferenceStep> exact, rounded;
  for (const std::int32_t token : tokens) {
    exact.push_back(reference->Step(token));
    rounded.push_back(twin->Step(token));
  }
  for (const TracingOps::Tap& tap : tracing.taps()) {
    const auto entry = static_cast<std::size_t>(tap.layer + 1);
    if (entry + 1 > static_cast<std::size_t>(spec.layer_count())) break;  // the last is behind the final norm
    double allowed = 0;
    for (int row = 0; row < length; ++row)
      allowed = std::max(allowed, Compare(exact[row].hidden[entry], rounded[row].hidden[entry]).max_abs);
    allowed = kAllowed * allowed + 1e-6;
    for (int row = 0; row < length; ++row)
      for (int i = 0; i < tap.width; ++i) {
        const double expected = exact[row].hidden[entry][i], found = tap.x[std::size_t(row) * tap.width + i];
        if (std::abs(expected - found) <= allowed) continue;
        return fmt::format(
            "every op is right by its inputs; {} is off in a plain prefill, row {} element {}: expected "
            "{:.9g} within {:.3g}, found {:.9g}",
            tap.layer < 0 ? std::string("the embedding") : fmt::format("the output of layer {}", tap.layer), row, i,
            expected, allowed, found);
      }
  }
  return "";
}

}  // namespace

std::string FirstDivergence(const Case& item, const EngineMaker& engines) {
  if (!item.target.device.on_host()) return "";
  Workbench bench;
  if (IsLarge(bench.Spec(item.target))) return "";
  try {
    const Again again = RunAgain(item, engines);
    if (again.op) return fmt::format("op {}: {}", again.op->worst.ToString(), again.op->detail);
    if (const std::string layer = FirstWrongLayer(item, engines); !layer.empty()) return layer;
    return fmt::format(
        "every op is right by its inputs, and so is every layer of a plain prefill: sessions, steps or caches are "
        "not{}",
        again.row.empty() ? "" : ", first at " + again.row);
  } catch (const std::exception& error) {
    return fmt::format("cannot be told: {}", error.what());
  }
}

}  // namespace assay

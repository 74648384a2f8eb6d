// assay system-check: does a system speak the protocol, and what can it do?
#include <fmt/core.h>

#include <filesystem>

#include "ci/assay/commands.h"
#include "ci/assay/system.h"
#include "ci/assay/terminal.h"
#include "suites/suites.h"
#include "suites/support/embedded.h"
#include "suites/systems/conformance.h"

namespace assay {
namespace {

void PrintDescription(const ProcessProvider& provider) {
  const SystemInfo info = provider.Describe();
  Tell("{}", info.name);
  for (const std::string* part : {&info.version, &info.commit, &info.build, &info.device})
    if (!part->empty()) Tell(", {}", *part);
  Tell("\n");
  const Capabilities capabilities = provider.CapabilitiesOf({});
  for (const Capability capability :
       {Capability::kChunk, Capability::kBatch, Capability::kMixed, Capability::kFork, Capability::kTruncate,
        Capability::kDecode, Capability::kLogits, Capability::kRawLogits}) {
    const Support has = capabilities.Has(capability);
    Tell("  {:<40} {}\n", Name(capability), has ? "yes" : has.reason);
  }
  Tell("  {:<40} {}\n", "claims that rows do not depend on batches", info.claims_batch_invariance ? "yes" : "no");
  Tell("  {:<40} {}\n", "claims the same bits from run to run", info.claims_repeatable ? "yes" : "no");
}

}  // namespace

int SystemCheckCommand(const SystemArguments& system, const std::string& name) {
  const std::vector<std::string> models = MatchModels({name});
  Require(models.size() == 1, "model '{}': expected one model, found {}", name, models.size());
  const std::string path = ResolveModel(models.front());
  std::error_code error;
  const std::string model = std::filesystem::exists(path, error) ? std::filesystem::absolute(path).string() : path;
  PrintDescription(*ProviderOf(system));
  int failed = 0, passed = 0, skipped = 0;
  for (const ConformanceCheck& check : CheckConformance({system.command, system.timeout_s}, model)) {
    const bool bad = !check.problem.empty() && !check.skipped;
    (check.skipped ? skipped : bad ? failed : passed)++;
    const std::string status = check.skipped ? "skip" : bad ? "fail" : "pass";
    Tell("{} {}{}\n", Colorized(status, status, stdout), check.what, check.problem.empty() ? "" : ": " + check.problem);
  }
  Tell("{}: {} checks passed, {} failed, {} skipped\n", failed > 0 ? "FAIL" : "PASS", passed, failed, skipped);
  return failed > 0 ? kExitFailure : kExitPass;
}

}  // namespace assay

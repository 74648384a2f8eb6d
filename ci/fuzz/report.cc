// Everything that reads texts of runs: reports, policies, plans and shard files.
#include "ci/fuzz/fuzz.h"
#include "reports/format/check.h"
#include "reports/merge/plan.h"
#include "reports/merge/shard.h"
#include "reports/policy/policy.h"
#include "reports/render/export.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assay;
  const std::string_view text = TextOf(data, size);
  Fuzzed([&] { PolicyFrom(text, "policy.json", "2025-01-31"); });
  Fuzzed([&] { PlanFrom(text); });
  Fuzzed([&] { ReadShard(text, [](const ShardCase&) {}); });
  return Fuzzed([&] {
    const Report report = FromJson(text);
    if (!SchemaProblems(text).empty()) return;
    const bool holds = ConsistencyProblems(text).empty();
    if (!holds) return;
    // What holds can be written and holds again.
    const std::string again = ToJson(report);
    if (!SchemaProblems(again).empty() || !ConsistencyProblems(again).empty())
      throw Error("a report that holds does not");
    for (const ExportFormat& format : ExportFormats()) format.make(report);
  });
}

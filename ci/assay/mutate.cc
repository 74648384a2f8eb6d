// assay mutate: the suites under every fault of the catalogue.
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "ci/assay/case_run.h"
#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "engine/ops/ops_factory.h"
#include "suites/faults/fault_cases.h"
#include "suites/faults/published_rules.h"
#include "suites/support/names.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

// One of `count` shares, by turns, so that each has some of every seam.
void KeepShard(std::vector<Case>& cases, int index, int count) {
  std::vector<Case> kept;
  for (std::size_t i = 0; i < cases.size(); ++i)
    if (static_cast<int>(i) % count == index) kept.push_back(std::move(cases[i]));
  cases = std::move(kept);
}

// Caught by the suites that must see them, under every seed, by seam; beside them what published rules see; survivors.
void PrintTally(const FaultTally& tally) {
  std::vector<std::string> header{"seam", "faults", "caught"};
  std::string sides = "<>>";
  for (const PublishedRule& rule : PublishedRules()) header.emplace_back(rule.name), sides += '>';
  Table table(sides, header);
  const auto add = [&](const char* name, const auto& counts) {
    int faults = 0, caught = 0;
    std::map<std::string, int> by_rule;
    for (const auto& [id, fault] : tally.faults) {
      if (!counts(fault)) continue;
      ++faults;
      caught += fault.caught == fault.runs && fault.in_effect;
      for (const std::string& rule : fault.rules) ++by_rule[rule];
    }
    if (faults == 0) return;
    std::vector<std::string> cells{name, std::to_string(faults), std::to_string(caught)};
    for (const PublishedRule& rule : PublishedRules()) cells.push_back(std::to_string(by_rule[rule.name]));
    table.Add(cells);
  };
  for (const Seam seam : {Seam::kOp, Seam::kMemory, Seam::kLoader, Seam::kSchedule})
    add(Name(seam), [seam](const FaultTally::Fault& fault) { return fault.seam == seam; });
  add("engine", [](const FaultTally::Fault& fault) { return fault.seam != Seam::kReport; });
  Tell("\n");
  table.Print(stdout);
  for (const auto& [id, fault] : tally.faults)
    if (fault.caught < fault.runs || !fault.in_effect)
      Tell("survivor {}: {}\n", id,
           !fault.in_effect ? "it changed nothing: the inputs do not trigger it"
                            : fmt::format("caught under {} of {} seeds", fault.caught, fault.runs));
}

}  // namespace

int MutateCommand(const MutateArguments& arguments, const Invocation& invocation) {
  Require(
      arguments.system.command.empty(),
      "--system: faults are planted inside the engine of this tree; suites/adapters/broken.py is another system with "
      "a fault, for assay run");
  int index = 0, count = 1;
  if (!arguments.shard.empty()) {
    char slash = 0, rest = 0;
    Require(std::sscanf(arguments.shard.c_str(), "%d%c%d%c", &index, &slash, &count, &rest) == 3 && slash == '/' &&
                count >= 1 && index >= 0 && index < count,
            "--shard '{}': expected I/N with I from 0 below N", arguments.shard);
  }
  std::vector<std::string> ids;
  for (const FaultRow& row : Catalogue()) ids.push_back(row.id);
  const std::vector<std::string> wanted = MatchNames("fault", arguments.faults, ids);
  const auto tally = std::make_shared<FaultTally>();
  const FaultOptions options{ResolveDevice(arguments.device), arguments.seed, arguments.seeds, arguments.all, tally};
  Workbench bench;
  CaseRun run;
  run.kind = "run";
  run.cases = FaultCases(options);
  run.listed = run.cases.size();
  std::erase_if(run.cases, [&](const Case& item) {
    return !wanted.empty() && std::find(wanted.begin(), wanted.end(), item.name) == wanted.end();
  });
  KeepShard(run.cases, index, count);
  run.device = options.device;
  run.seed = arguments.seed;
  run.report = arguments.report;
  run.exports = arguments.exports;
  run.control = arguments.control;
  run.replay = [&](const Case& item) {
    return fmt::format("assay mutate {} --seed {} --device {}", item.name, item.target.seed, item.target.device.name());
  };
  const int code = RunAndReport(bench, std::move(run), invocation);
  if (!arguments.control.quiet) PrintTally(*tally);
  return code;
}

}  // namespace assay

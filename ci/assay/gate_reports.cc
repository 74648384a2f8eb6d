// The parity gate of two kept reports.
#include <fmt/core.h>

#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "reports/environment/begin.h"
#include "reports/format/check.h"
#include "reports/format/report.h"
#include "reports/format/writer.h"
#include "reports/policy/parity.h"
#include "reports/policy/policy.h"

namespace assay {
namespace {

// A report that contradicts itself is no ground for a decision.
Report ValidReport(const std::string& file) {
  const std::string text = ReadFile(file);
  try {
    Report report = FromJson(text);
    const std::vector<std::string> problems = ReportProblems(text, &report);
    if (!problems.empty()) throw ReportError(problems.front());
    return report;
  } catch (const ReportVersionError& error) {
    throw ReportVersionError(fmt::format("{}: {}", file, error.what()));
  } catch (const ReportError& error) {
    throw ReportError(fmt::format("{}: {}", file, error.what()));
  }
}

void List(const char* what, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) Tell("{}: {}\n", what, line);
}

// Takes out what the policy waives, and says so; an id ends at the colon behind it.
void Waive(const Policy& policy, ParityChanges* changes) {
  for (std::vector<std::string>* lines : {&changes->broken, &changes->lost, &changes->crept, &changes->coverage})
    std::erase_if(*lines, [&](const std::string& line) {
      const Waiver* waiver = WaiverOf(policy, line.substr(0, line.find(": ")));
      if (waiver != nullptr) Tell("waived until {} ({}): {}\n", waiver->expires, waiver->reason, line);
      return waiver != nullptr;
    });
}

}  // namespace

int GateReportsCommand(const GateArguments& arguments) {
  const Report older = ValidReport(arguments.reports.at(0)), newer = ValidReport(arguments.reports.at(1));
  ParityChanges changes = CompareParity(older, newer);
  if (!arguments.policy.empty()) {
    const Policy policy = PolicyFrom(ReadFile(arguments.policy), arguments.policy, Now().substr(0, 10));
    for (std::string& unmet : Unmet(policy, newer)) changes.lost.push_back(std::move(unmet));
    Waive(policy, &changes);
    SetVerdict(&changes);
  }
  List("broken", changes.broken);
  List("lost", changes.lost);
  List("headroom crept", changes.crept);
  List("coverage fell", changes.coverage);
  List("new", changes.added);
  List("mended", changes.mended);
  List("warning: slower", changes.slower);
  Tell("{}: {} cases against {}: {} broken, {} lost, {} crept, {} covered less, {} new, {} mended\n",
       Colorized(changes.verdict, changes.verdict, stdout), newer.cases.size(), older.cases.size(),
       changes.broken.size(), changes.lost.size(), changes.crept.size(), changes.coverage.size(), changes.added.size(),
       changes.mended.size());
  return ExitCode(changes.verdict);
}

}  // namespace assay

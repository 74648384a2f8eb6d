// assay bisect: where the failures of a report begin.
#include <fmt/core.h>
#include <fnmatch.h>

#include "ci/assay/commands.h"
#include "ci/assay/rerun.h"
#include "ci/assay/selection.h"
#include "ci/assay/terminal.h"
#include "suites/parity/divergence.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {

int BisectCommand(const std::string& report, const std::string& pattern) {
  RunArguments asked;
  asked.rerun = report;
  const RunArguments arguments = FailedCases(report, asked);
  Workbench bench;
  int told = 0;
  for (const Case& item : Selected(ListCases(bench, InputsOf(arguments), arguments.suites), arguments)) {
    const std::string id = item.id();
    if (!pattern.empty() && ::fnmatch(pattern.c_str(), id.c_str(), 0) != 0) continue;
    const std::string begins = FirstDivergence(item);
    Tell("{}\n  begins: {}\n", id, begins.empty() ? "told on the host alone, for small models" : begins);
    ++told;
  }
  if (told == 0) Tell("{}: no failed case of that id\n", report);
  return told > 0 ? kExitPass : kExitIncomplete;
}

}  // namespace assay

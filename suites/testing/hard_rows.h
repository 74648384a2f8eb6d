// A row of logits in which other orders of sums show that rounding decides there, though the twin's own does not.
#pragma once

#include <optional>

#include "engine/base/random.h"
#include "suites/support/references.h"
#include "suites/support/workbench.h"

namespace assay {

struct HiddenHardRow {
  Target target;
  Tokens tokens;
  int position = 0;
  double worst = 0;  // WorstTwinErrorRatio, more than 2.2 where the twin's own is less than 1.3
};

// Searched for, because which rows these are follows how a compiler fuses products. Of this model one in some hundreds
// is. Empty if there is none among 6400.
inline std::optional<HiddenHardRow> FindHiddenHardRow(Workbench& bench) {
  HiddenHardRow row{.target = {.model = "random-9", .loose = true}, .tokens = {}};
  ReferenceAnswers& references = bench.references();
  const LogitTolerance& tolerance = references.Tolerance(row.target);
  for (int stream = 0; stream < 400; ++stream) {
    row.tokens = RandomTokens(row.target.seed, stream, 16, bench.Spec(row.target).vocab);
    for (row.position = 0; row.position < 16; ++row.position) {
      if (references.TwinErrorRatio(row.target, tolerance, row.tokens, row.position) >= 1.3) continue;
      row.worst = references.WorstTwinErrorRatio(row.target, tolerance, row.tokens, row.position);
      if (row.worst > 2.2) return row;
    }
  }
  return std::nullopt;
}

}  // namespace assay

// Faults as data. A row says what goes wrong, through which seam, in which model, and the suites that must turn red on
// it. A fault that changed nothing proves nothing: every row leaves a witness.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "reports/format/report.h"
#include "suites/faults/hooked_ops.h"
#include "suites/support/engine_system.h"
#include "suites/support/target.h"

namespace assay {

// What the engine, or a report, goes wrong at.
enum class Seam { kOp, kMemory, kLoader, kSchedule, kReport };
const char* Name(Seam seam);

struct FaultRow {
  std::string id;
  Seam seam;
  std::string about;   // one line
  std::string model;   // in which it exists
  std::string suites;  // that must turn red, between spaces; of Seam::kReport none: the check of reports must
  std::function<std::unique_ptr<EngineProvider>(Witness)> plant;  // engines with the fault
  std::function<void(Report&)> damage{};                          // of a report that held and passed
  Precision precision = Precision::kFp32;
  std::string op{};  // of Seam::kOp: the op that is off, as its check names it
};
const std::vector<FaultRow>& Catalogue();

}  // namespace assay

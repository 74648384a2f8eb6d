// Where failures begin, over the faults of the catalogue: of a wrong op the op and its layer, of wrong sessions the
// step and the row.
#include "suites/parity/divergence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "suites/faults/catalogue.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

// The first case of the suites that must see the fault which turns red; nothing: none does.
std::optional<Case> FirstRed(const FaultRow& row) {
  Workbench bench(row.plant(std::make_shared<bool>(false)));
  CaseRunner runner(bench);
  std::istringstream suites(row.suites);
  for (std::string suite; suites >> suite;) {
    // The check of ops is what tells: a case of its own would prove nothing.
    if (suite == "Ops") continue;
    for (const Case& item : ListCases(bench, {{row.model}, {row.precision}, {Device::Host()}}, {suite}))
      if (item.target.model == row.model && runner.Run(item).status == Status::kFail) return item;
  }
  return std::nullopt;
}

std::string Begins(const FaultRow& row, const Case& item) {
  return FirstDivergence(item, [&row] { return row.plant(std::make_shared<bool>(false)); });
}

bool NamesOpAndLayer(const FaultRow& row, const std::string& begins) {
  const std::size_t op = begins.find(": " + row.op);
  return begins.starts_with("op ") && op != std::string::npos && begins.find(" layer ", op) != std::string::npos;
}

bool NamesStepAndRow(const std::string& begins) {
  const std::size_t at = begins.find("first at ");
  if (at == std::string::npos) return false;
  const auto names = [&](const char* word) { return begins.find(word, at) != std::string::npos; };
  return (names("step ") || names("move ") || names("back ")) &&
         (names("session ") || names("position ") || names("copy ") || names("row ") || names("back "));
}

template <class Right>
void Measure(Seam seam, double least, const Right& right) {
  int caught = 0, named = 0;
  std::string others;
  for (const FaultRow& row : Catalogue()) {
    if (row.seam != seam) continue;
    const std::optional<Case> red = FirstRed(row);
    if (!red) continue;
    ++caught;
    const std::string begins = Begins(row, *red);
    if (right(row, begins))
      ++named;
    else
      others += "\n  " + row.id + " in " + red->id() + ": " + begins;
  }
  EXPECT_GE(named, least * caught) << named << " of " << caught << others;
  EXPECT_GT(caught, 8);
  testing::Test::RecordProperty("named", named);
  std::printf("%s faults: %d of %d named where they begin%s\n", Name(seam), named, caught, others.c_str());
}

TEST(FirstDivergence, NamesTheOpAndTheLayerOfOpFaults) { Measure(Seam::kOp, 0.95, NamesOpAndLayer); }

TEST(FirstDivergence, NamesTheStepAndTheRowOfScheduleFaults) {
  Measure(Seam::kSchedule, 0.95, [](const FaultRow&, const std::string& begins) { return NamesStepAndRow(begins); });
}

}  // namespace
}  // namespace assay

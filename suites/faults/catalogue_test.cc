// The catalogue holds together: ids, suites and models exist, every seam and every suite has its share.
#include "suites/faults/catalogue.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <sstream>

#include "engine/model/presets.h"
#include "suites/suites.h"

namespace assay {
namespace {

std::set<std::string> SuiteNames() {
  std::set<std::string> names;
  for (const SuiteEntry& entry : Suites()) names.insert(entry.name);
  return names;
}

TEST(FaultCatalogue, HoldsTogether) {
  std::set<std::string> ids;
  std::map<Seam, int> seams;
  const std::set<std::string> suites = SuiteNames();
  for (const FaultRow& row : Catalogue()) {
    EXPECT_TRUE(ids.insert(row.id).second) << row.id << " is there twice";
    EXPECT_FALSE(row.about.empty()) << row.id;
    EXPECT_TRUE(IsPreset(row.model)) << row.id << ": " << row.model;
    EXPECT_EQ(row.seam == Seam::kReport, row.damage != nullptr) << row.id;
    EXPECT_EQ(row.seam != Seam::kReport, row.plant != nullptr) << row.id;
    std::istringstream words(row.suites);
    int named = 0;
    for (std::string suite; words >> suite; ++named) EXPECT_TRUE(suites.contains(suite)) << row.id << ": " << suite;
    EXPECT_EQ(row.seam == Seam::kReport, named == 0) << row.id;
    ++seams[row.seam];
  }
  EXPECT_GE(ids.size(), 100u);
  EXPECT_EQ(seams.size(), 5u);
}

}  // namespace
}  // namespace assay

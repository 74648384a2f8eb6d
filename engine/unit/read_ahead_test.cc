#include "engine/base/read_ahead.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "engine/base/check.h"

namespace assay {
namespace {

TEST(ReadAhead, GivesEverythingInOrder) {
  ReadAhead<std::string> ahead(1000, [](std::size_t i) { return std::to_string(i); });
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(ahead.Next(), std::to_string(i));
}

TEST(ReadAhead, IsOneAheadAndNoMore) {
  std::atomic<int> made{0}, taken{0}, most{0};
  {
    ReadAhead<int> ahead(200, [&](std::size_t i) {
      most = std::max(most.load(), ++made - taken);
      return static_cast<int>(i);
    });
    for (int i = 0; i < 200; ++i) {
      ahead.Next();
      ++taken;
    }
  }
  EXPECT_EQ(made, 200);
  EXPECT_LE(most, 3);  // one being made, one ready, one just taken and not counted yet
}

TEST(ReadAhead, ThrowsWhereTheResultWouldHaveComeAndMakesNothingMore) {
  std::atomic<int> made{0};
  ReadAhead<int> ahead(10, [&](std::size_t i) {
    ++made;
    Require(i != 3, "the fourth is broken");
    return static_cast<int>(i);
  });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(ahead.Next(), i);
  EXPECT_THROW(ahead.Next(), InputError);
  EXPECT_EQ(made, 4);
}

TEST(ReadAhead, MayBeLeftEarly) {
  for (int taken = 0; taken < 4; ++taken) {
    ReadAhead<std::vector<int>> ahead(4, [](std::size_t i) { return std::vector<int>(i); });
    for (int i = 0; i < taken; ++i) ahead.Next();
  }
  ReadAhead<int> none(0, [](std::size_t) { return 0; });
}

}  // namespace
}  // namespace assay

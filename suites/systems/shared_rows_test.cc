#include "suites/systems/shared_rows.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "suites/systems/wire.h"

namespace assay {
namespace {

// Memory with both of its ends, as two processes have them.
struct Shared {
  SharedRows assay;
  SharedRows system{::fcntl(assay.descriptor(), F_DUPFD_CLOEXEC, 0)};

  void Write(const std::vector<float>& rows, std::int64_t stamp) {
    std::copy(rows.begin(), rows.end(), system.Room(rows.size()));
    system.Stamp(rows.size(), stamp);
  }
  // What two parts of it are; or why it is refused.
  std::vector<std::vector<float>> Read(std::size_t first, std::size_t second, std::int64_t stamp) {
    std::vector<std::vector<float>> parts{{7}, {}};
    assay.Read({{&parts[0], first}, {&parts[1], second}}, stamp);
    return parts;
  }
  std::string Refusal(std::size_t count, std::int64_t stamp) {
    try {
      Read(count, 0, stamp);
    } catch (const WireError& error) {
      return error.what();
    }
    return "";
  }
};

TEST(SharedRows, ArePartsOfWhatWasWrittenAndGrow) {
  Shared shared;
  using Parts = std::vector<std::vector<float>>;
  shared.Write({1, 2, 3}, 5);
  EXPECT_EQ(shared.Read(2, 1, 5), (Parts{{1, 2}, {3}}));
  shared.Write({}, 6);
  EXPECT_EQ(shared.Read(0, 0, 6), (Parts{{}, {}}));
  std::vector<float> many(300'000);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<float>(i);
  shared.Write(many, 7);
  EXPECT_EQ(shared.Read(many.size(), 0, 7), (Parts{many, {}}));
  shared.Write({4}, 8);
  EXPECT_EQ(shared.Read(0, 1, 8), (Parts{{}, {4}}));
}

TEST(SharedRows, OfAPartGoToBothOfItsPlaces) {
  Shared shared;
  shared.Write({1, 2, 3}, 5);
  std::vector<float> one, two{8, 9}, rest;
  shared.assay.Read({{&one, 2, &two}, {&rest, 1}}, 5);
  EXPECT_EQ(one, (std::vector<float>{1, 2}));
  EXPECT_EQ(two, one);
  EXPECT_EQ(rest, std::vector<float>{3});
}

TEST(SharedRows, AreACopyThatLaterWritingDoesNotChange) {
  Shared shared;
  shared.Write({1, 2}, 1);
  const auto parts = shared.Read(2, 0, 1);
  shared.Write({3, 4}, 1);
  EXPECT_EQ(parts[0], (std::vector<float>{1, 2}));
}

TEST(SharedRows, ThatWereNotWrittenForTheAnswerAreRefused) {
  Shared shared;
  EXPECT_EQ(shared.Refusal(2, 1), "shared rows that end after 0 bytes, expected 16");
  shared.Write({1, 2}, 1);
  EXPECT_EQ(shared.Refusal(2, 1), "");
  EXPECT_EQ(shared.Refusal(2, 2), "shared rows stamped 1, expected 2: they were not written for this answer");
  EXPECT_EQ(shared.Refusal(3, 1), "shared rows that end after 16 bytes, expected 20");
  // Room without rows: what was never written is 0.
  ASSERT_EQ(::ftruncate(shared.system.descriptor(), std::int64_t{10} << 30), 0);
  EXPECT_EQ(shared.Refusal(1 << 20, 3), "shared rows stamped 0, expected 3: they were not written for this answer");
}

TEST(SharedRows, DoNotGoAwayUnderTheReader) {
  Shared shared;
  shared.Write({1, 2}, 1);
  EXPECT_NE(::ftruncate(shared.system.descriptor(), 0), 0) << "it can be cut";
  EXPECT_EQ(shared.Refusal(2, 1), "");
}

TEST(SharedRows, AreNoDescriptorOfAnotherKind) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_THROW(SharedRows{ends[0]}, InputError);
  ::close(ends[0]);
  EXPECT_THROW(SharedRows{ends[0]}, InputError) << "closed";
  ::close(ends[1]);
}

}  // namespace
}  // namespace assay

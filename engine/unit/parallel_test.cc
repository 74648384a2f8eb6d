// The loop under every host op: each item once, and no error of a range is lost.
#include "engine/base/parallel.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

namespace assay {
namespace {

class Threads {
 public:
  explicit Threads(int count) : before_(omp_get_max_threads()) { omp_set_num_threads(count); }
  ~Threads() { omp_set_num_threads(before_); }

 private:
  const int before_;
};

TEST(ParallelFor, TakesEachItemOnceInRangesOfAtLeastAGrain) {
  for (const int threads : {1, 2, 3, 8}) {
    const Threads set(threads);
    for (const std::int64_t count : {0, 1, 2, 7, 8, 9, 100}) {
      for (const std::int64_t grain : {0, 1, 3, 8, 200}) {
        std::vector<std::atomic<int>> taken(count);
        std::atomic<int> short_ranges = 0;
        ParallelFor(count, grain, [&](std::int64_t begin, std::int64_t end) {
          if (end - begin < grain && end != count) ++short_ranges;
          for (std::int64_t i = begin; i < end; ++i) ++taken[i];
        });
        for (std::int64_t i = 0; i < count; ++i)
          EXPECT_EQ(taken[i], 1) << "item " << i << " of " << count << ", grain " << grain << ", threads " << threads;
        EXPECT_EQ(short_ranges, 0) << count << " items, grain " << grain << ", threads " << threads;
      }
    }
  }
}

TEST(ParallelFor, RethrowsTheErrorOfTheLowestRangeWhenAllHaveEnded) {
  for (const int threads : {1, 4}) {
    const Threads set(threads);
    for (const std::int64_t thrown_from : {0, 3, 7}) {
      std::atomic<int> ended = 0;
      try {
        ParallelFor(8, 1, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i)
            if (i >= thrown_from) throw std::runtime_error("item " + std::to_string(i));
          ++ended;
        });
        ADD_FAILURE() << "from item " << thrown_from << " on, " << threads << " threads: no error came out";
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), "item " + std::to_string(thrown_from)) << threads << " threads";
      }
      // Ranges of two items: those below the first that throws.
      EXPECT_EQ(ended, threads == 1 ? 0 : static_cast<int>(thrown_from / 2));
    }
  }
}

TEST(ParallelFor, AnInnerLoopIsOneRange) {
  const Threads set(4);
  std::atomic<int> outer = 0, inner = 0;
  ParallelFor(4, 1, [&](std::int64_t, std::int64_t) {
    ++outer;
    ParallelFor(10, 1, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(begin, 0);
      EXPECT_EQ(end, 10);
      ++inner;
    });
  });
  EXPECT_EQ(outer, 4);
  EXPECT_EQ(inner, 4);
}

}  // namespace
}  // namespace assay

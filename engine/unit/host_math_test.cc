// Loops of the host ops on memory that begins anywhere.
#include "engine/ops/host_math.h"

#include <gtest/gtest.h>

#include <vector>

namespace assay {
namespace {

// Rows of 17 floats: but for the first, none begins where a vector's aligned load may.
TEST(HostMath, RowsBeginAnywhere) {
  for (std::int64_t cols = 1; cols <= 67; ++cols)
    for (std::int64_t shift = 0; shift < 4; ++shift) {
      constexpr std::int64_t kRows = 5;
      std::vector<float> w(static_cast<std::size_t>(shift + cols), 0),
          x(static_cast<std::size_t>(shift + kRows * cols));
      for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 7);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 5);
      float out[kRows];
      host::Dots(out, 1, w.data() + shift, x.data() + shift, kRows, cols);
      for (std::int64_t r = 0; r < kRows; ++r) {
        float expected = 0;  // whole numbers: exact in any order
        for (std::int64_t i = 0; i < cols; ++i) expected += w[shift + i] * x[shift + r * cols + i];
        EXPECT_EQ(out[r], expected) << cols << " columns, row " << r;
        EXPECT_EQ(host::Dot(w.data() + shift, x.data() + shift + r * cols, cols), expected);
      }
    }
}

}  // namespace
}  // namespace assay

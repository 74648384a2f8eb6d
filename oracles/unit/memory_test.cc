// Host memory, and the poison that probes put into it.
#include "engine/memory/memory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "engine/base/check.h"
#include "oracles/probes/poison_memory.h"

namespace assay {
namespace {

TEST(HostMemory, SaysWhatDidNotFit) {
  HostMemory memory;
  try {
    memory.Allocate(std::numeric_limits<std::size_t>::max() - 7, "keys of layer 3");
    FAIL() << "expected OutOfMemory";
  } catch (const OutOfMemory& error) {
    EXPECT_TRUE(std::string(error.what())
                    .starts_with("keys of layer 3: 18446744073709551608 bytes do not fit in host memory ("))
        << error.what();
    EXPECT_GT(error.free, 0u);
  }
}

// Whoever reads what nobody wrote must find garbage.
TEST(PoisonMemory, HandsOutNaN) {
  HostMemory host;
  PoisonMemory memory(host);
  const Buffer buffer(memory, 16, "poisoned");
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(std::isnan(buffer.as<float>()[i]));
}

}  // namespace
}  // namespace assay

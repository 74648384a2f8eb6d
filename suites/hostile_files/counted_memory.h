// Counts the host memory the program takes from the heap, so that a suite can hold a loader to a budget. Works by
// wrapping the allocation functions at link time (see CMakeLists.txt of this folder), with and without sanitizers.
#pragma once

#include <cstddef>

namespace assay {

struct MemoryUse {
  std::size_t peak = 0;     // bytes held at once beyond what was held at the start
  std::size_t largest = 0;  // of one request, granted or not
};

// One measurement at a time; allocations of all threads count.
void StartCounting();
MemoryUse StopCounting();

}  // namespace assay

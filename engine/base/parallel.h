// Data-parallel loop over OpenMP threads. Iterations must be independent; the result must not depend on the thread
// count.
#pragma once

#include <cstdint>
#include <functional>

namespace assay {

// Calls body(begin, end) on disjoint ranges that cover [0, count). Ranges hold at least `grain` items (but the last).
// An exception thrown by a body is rethrown here after all ranges have ended; with several, the one of the lowest
// range.
void ParallelFor(std::int64_t count, std::int64_t grain,
                 const std::function<void(std::int64_t begin, std::int64_t end)>& body);

// Threads ParallelFor may use.
int ParallelWidth();

}  // namespace assay

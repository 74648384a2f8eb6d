#include "engine/base/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <vector>

#include "engine/base/portable.h"

#if ASSAY_THREAD_SANITIZER
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#define ASSAY_TSAN_ACQUIRE(p) __tsan_acquire(p)
#define ASSAY_TSAN_RELEASE(p) __tsan_release(p)
#else
#define ASSAY_TSAN_ACQUIRE(p) static_cast<void>(p)
#define ASSAY_TSAN_RELEASE(p) static_cast<void>(p)
#endif

namespace assay {
namespace {

// libgomp is not instrumented, so ThreadSanitizer cannot see its fork and join; the annotations tell it of exactly
// those two edges and nothing else: a race between two ranges is still reported.
ASSAY_UNINSTRUMENTED [[gnu::noinline]] void Run(std::int64_t count, std::int64_t step,
                                                const std::function<void(std::int64_t, std::int64_t)>& body,
                                                std::vector<std::exception_ptr>& errors) {
  char fork = 0, join = 0;
  const auto ranges = static_cast<int>(errors.size());
  ASSAY_TSAN_RELEASE(&fork);
#pragma omp parallel for schedule(static, 1) num_threads(ranges)
  for (int range = 0; range < ranges; ++range) {
    ASSAY_TSAN_ACQUIRE(&fork);
    const std::int64_t begin = range * step;
    try {
      body(begin, std::min(count, begin + step));
    } catch (...) {
      errors[range] = std::current_exception();
    }
    ASSAY_TSAN_RELEASE(&join);
  }
  ASSAY_TSAN_ACQUIRE(&join);
}

}  // namespace

int ParallelWidth() { return omp_get_max_threads(); }

void ParallelFor(std::int64_t count, std::int64_t grain,
                 const std::function<void(std::int64_t begin, std::int64_t end)>& body) {
  if (count <= 0) return;
  const std::int64_t most = std::max<std::int64_t>(1, count / std::max<std::int64_t>(1, grain));
  const std::int64_t ranges = omp_in_parallel() ? 1 : std::min<std::int64_t>(most, ParallelWidth());
  if (ranges <= 1) return body(0, count);
  const std::int64_t step = (count + ranges - 1) / ranges;
  std::vector<std::exception_ptr> errors((count + step - 1) / step);
  Run(count, step, body, errors);
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
}

}  // namespace assay

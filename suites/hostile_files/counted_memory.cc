#include "suites/hostile_files/counted_memory.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<bool> counting{false};
std::atomic<long long> held{0}, peak{0};
std::atomic<std::size_t> largest{0};

template <class T>
void RaiseTo(std::atomic<T>& to, T value) {
  for (T seen = to; seen < value && !to.compare_exchange_weak(seen, value);) {
  }
}

void* Taken(void* block, std::size_t asked) {
  if (counting) {
    RaiseTo(largest, asked);
    if (block != nullptr) RaiseTo(peak, held += static_cast<long long>(malloc_usable_size(block)));
  }
  return block;
}

void Given(void* block) {
  if (counting && block != nullptr) held -= static_cast<long long>(malloc_usable_size(block));
}

}  // namespace

extern "C" {
// The names are the linker's: --wrap=f sends calls of f here and keeps the original under __real_f.
void* __real_malloc(std::size_t bytes);
void* __real_calloc(std::size_t count, std::size_t bytes);
void* __real_realloc(void* block, std::size_t bytes);
void* __real_aligned_alloc(std::size_t align, std::size_t bytes);
void __real_free(void* block);

void* __wrap_malloc(std::size_t bytes) { return Taken(__real_malloc(bytes), bytes); }
void* __wrap_calloc(std::size_t count, std::size_t bytes) { return Taken(__real_calloc(count, bytes), count * bytes); }
void* __wrap_realloc(void* block, std::size_t bytes) {
  Given(block);
  return Taken(__real_realloc(block, bytes), bytes);
}
void* __wrap_aligned_alloc(std::size_t align, std::size_t bytes) {
  return Taken(__real_aligned_alloc(align, bytes), bytes);
}
void __wrap_free(void* block) {
  Given(block);
  __real_free(block);
}
}

namespace {

void* New(std::size_t bytes) {
  if (void* block = __wrap_malloc(bytes > 0 ? bytes : 1)) return block;
  throw std::bad_alloc();
}

void* New(std::size_t bytes, std::align_val_t align) {
  const auto unit = static_cast<std::size_t>(align);
  if (bytes <= static_cast<std::size_t>(-1) - unit)
    if (void* block = __wrap_aligned_alloc(unit, (bytes + unit) / unit * unit)) return block;
  throw std::bad_alloc();
}

}  // namespace

// The library's own operators live in a shared object, beyond the linker's reach. All forms, because mixing them with
// the library's would pair allocations and releases of different origin.
void* operator new(std::size_t bytes) { return New(bytes); }
void* operator new[](std::size_t bytes) { return New(bytes); }
void* operator new(std::size_t bytes, std::align_val_t align) { return New(bytes, align); }
void* operator new[](std::size_t bytes, std::align_val_t align) { return New(bytes, align); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return __wrap_malloc(bytes > 0 ? bytes : 1); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return __wrap_malloc(bytes > 0 ? bytes : 1); }
void operator delete(void* block) noexcept { __wrap_free(block); }
void operator delete[](void* block) noexcept { __wrap_free(block); }
void operator delete(void* block, std::size_t) noexcept { __wrap_free(block); }
void operator delete[](void* block, std::size_t) noexcept { __wrap_free(block); }
void operator delete(void* block, std::align_val_t) noexcept { __wrap_free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { __wrap_free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { __wrap_free(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { __wrap_free(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { __wrap_free(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { __wrap_free(block); }

namespace assay {

void StartCounting() {
  held = 0;
  peak = 0;
  largest = 0;
  counting = true;
}

MemoryUse StopCounting() {
  counting = false;
  return {static_cast<std::size_t>(peak.load()), largest.load()};
}

}  // namespace assay

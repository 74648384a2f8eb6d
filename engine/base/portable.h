// What differs between compilers: marks of functions for host and device alike, and which sanitizer is built in.
#pragma once

#ifdef __CUDACC__
#define ASSAY_HD __host__ __device__
#else
#define ASSAY_HD
#endif

// GCC defines macros, Clang answers questions.
#ifdef __has_feature
#define ASSAY_HAS_FEATURE(feature) __has_feature(feature)
#else
#define ASSAY_HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || ASSAY_HAS_FEATURE(address_sanitizer)
#define ASSAY_ADDRESS_SANITIZER 1
#else
#define ASSAY_ADDRESS_SANITIZER 0
#endif
#if defined(__SANITIZE_THREAD__) || ASSAY_HAS_FEATURE(thread_sanitizer)
#define ASSAY_THREAD_SANITIZER 1
#else
#define ASSAY_THREAD_SANITIZER 0
#endif

// Loops that ThreadSanitizer does not instrument, because a call for every vector takes most of a run's time: what they
// read and write is told range by range instead.
#if ASSAY_THREAD_SANITIZER
#define ASSAY_UNINSTRUMENTED __attribute__((no_sanitize("thread")))
extern "C" {
void __tsan_read_range(void* begin, unsigned long bytes);
void __tsan_write_range(void* begin, unsigned long bytes);
}
#define ASSAY_TELL_READ(begin, bytes) __tsan_read_range(const_cast<void*>(static_cast<const void*>(begin)), bytes)
#define ASSAY_TELL_WRITE(begin, bytes) __tsan_write_range(begin, bytes)
#else
#define ASSAY_UNINSTRUMENTED
#define ASSAY_TELL_READ(begin, bytes) static_cast<void>(begin)
#define ASSAY_TELL_WRITE(begin, bytes) static_cast<void>(begin)
#endif

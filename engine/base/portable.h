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

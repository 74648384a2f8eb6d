// Marks functions that compile for host and device alike.
#pragma once

#ifdef __CUDACC__
#define ASSAY_HD __host__ __device__
#else
#define ASSAY_HD
#endif

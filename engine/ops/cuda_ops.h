// The CUDA implementation of Ops: kernels and cuBLAS behind the same seam. Declared everywhere, defined only in builds
// with CUDA (ASSAY_HAS_CUDA); ops_factory.h picks without asking. No CUDA headers here.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "engine/base/check.h"
#include "engine/ops/ops.h"

namespace assay {

// The paths to compute a product (kernels/product.h). kAuto picks by the limits in cuda_products.cc.
enum class GemmPath { kAuto, kDot, kSkinny, kSkinnyTma, kTiled, kStream, kLibrary };

struct CudaOptions {
  Precision precision = Precision::kBf16;
  // A row's results are bit-identical for every number of rows, every neighbour, every cut of a text into steps and
  // every device of one compute capability.
  bool batch_invariant = false;
  bool pdl = true;  // overlap a kernel's start with the end of its predecessor
  int device = 0;
  GemmPath gemm_path = GemmPath::kAuto;  // others are for measurements; fp32 mode has kDot and kLibrary
  int sm_count = 0;                      // computes as a device with so many; 0: as many as there are. For tests
};

// What the choice of kernels and the workspace they take follow from.
struct CudaShape {
  std::string name;
  int sm_count = 0;
  int compute_capability = 0;     // 90
  std::size_t shared_memory = 0;  // bytes, the most a block can have
};
// Of `device`; of an H100, which is an H200's too, where there is no such device. Makes no context, which would take
// hundreds of megabytes of the device.
CudaShape ShapeForPlans(int device);

// Whether this build's kernels can run on `device`, or why not in the driver's own words.
Support CudaOpsAvailable(int device);

// Throws DeviceError with the reason when there is no such device. Used by one thread at a time; which device is
// current in it does not matter, and is as before when a call returns (cuda_device.h). Results repeat bit for bit from
// run to run on one kind of device; in batch-invariant mode on all of one compute capability, and over
// batch sizes and cuts.
std::unique_ptr<Ops> MakeCudaOps(const CudaOptions& options);

// Ops::Planning for a device of that shape, which need not be here: needs no GPU and no driver. `options.device` is
// what device_id() says.
std::unique_ptr<Ops> MakeCudaPlanningOps(const CudaOptions& options, const CudaShape& shape);

// Fills the scratch memory of `ops` (made by MakeCudaOps) with NaNs: nothing may read what it did not write. For tests.
void PoisonWorkspace(Ops& ops);

// Leaves every arrival counter of split sums at 1, as a kernel that was stopped half-way would. For tests.
void PoisonArrivals(Ops& ops);

}  // namespace assay

// A weight in device memory, stacked from parts. Matrices are plain in the mode's type, or as stored when every part is
// of one type and that is Q8_0 or Q4_0 (split) or, in fp32 mode, F16 or BF16; tables keep their stored type. Layouts:
// kernels/kernel_context.h.
#pragma once

#include <string>
#include <vector>

#include "engine/memory/memory.h"
#include "engine/ops/kernels/kernel_context.h"

namespace assay {

class CudaWeight final : public Weight {
 public:
  // Uploads through `staging`, ordered on ctx.stream; recipes are computed on the device. Throws InputError naming the
  // part that does not fit, OutOfMemory.
  CudaWeight(const KernelContext& ctx, Memory& memory, const Buffer& staging, const std::vector<HostTensor>& parts,
             WeightUse use);
  std::size_t bytes() const override { return data_.bytes() + scales_.bytes(); }
  std::string format() const override { return format_; }
  const WeightView& view() const { return view_; }

 private:
  void Upload(const KernelContext& ctx, Memory& memory, const Buffer& staging, const HostTensor& part,
              std::int64_t first_row);

  Buffer data_, scales_;
  WeightView view_;
  std::string format_;
};

}  // namespace assay

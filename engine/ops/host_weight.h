// A weight of the host ops: stacked parts in a format whose decoded rows are exactly what the products multiply.
#pragma once

#include <vector>

#include "engine/ops/ops.h"

namespace assay {

class HostWeight final : public Weight {
 public:
  HostWeight(std::vector<HostTensor> parts, Precision precision, WeightUse use);
  std::size_t bytes() const override { return bytes_; }
  std::string format() const override { return format_; }

  // Row `row` of expert `expert` as float32 [cols]: a pointer into the weight when it is stored so, else decoded to
  // `scratch`.
  const float* Row(std::int64_t expert, std::int64_t row, float* scratch) const;

 private:
  std::vector<HostTensor> parts_;
  std::size_t bytes_ = 0;
  std::string format_;
};

// The host weight behind `w`; throws InputError when another Ops prepared it.
const HostWeight& AsHost(const Weight& w);

}  // namespace assay

#include "engine/ops/host_weight.h"

#include <algorithm>
#include <cstring>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/base/portable.h"
#include "engine/base/quant.h"
#include "engine/ops/host_math.h"

namespace assay {
namespace {

HostTensor Converted(const HostTensor& from, DType type) {
  HostTensor to = from;
  to.type = type;
  to.bytes = StoredBytes(to.type, from.experts * from.rows, from.cols);
  if (from.data == nullptr) return to;
  std::shared_ptr<std::byte[]> data(new std::byte[to.bytes]);
  const std::size_t row_bytes = StoredBytes(from.type, 1, from.cols);
  ParallelFor(from.experts * from.rows, 64, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(from.cols);
    for (std::int64_t r = begin; r < end; ++r) {
      DequantiseRow(from.type, from.data.get() + r * row_bytes, row.data(), from.cols);
      host::StoreOperand(data.get(), type, r * from.cols, row.data(), from.cols);
    }
  });
  to.data = std::shared_ptr<const std::byte>(data, data.get());
  return to;
}

}  // namespace

HostWeight::HostWeight(std::vector<HostTensor> parts, Precision precision, WeightUse use)
    : Weight(parts), parts_(std::move(parts)) {
  for (HostTensor& part : parts_) {
    std::string format(Name(part.type));
    if (const DType kept = KeptType(part.type, precision, use, true); kept != part.type) {
      format += " as " + std::string(Name(kept));
      part = Converted(part, kept);
    }
    if (format_.find(format) == std::string::npos) format_ += (format_.empty() ? "" : ", ") + format;
    bytes_ += part.bytes;
  }
}

const float* HostWeight::Row(std::int64_t expert, std::int64_t row, float* scratch) const {
  const HostTensor* part = parts_.data();
  while (row >= part->rows) row -= (part++)->rows;
  const std::int64_t index = expert * part->rows + row;
  const std::byte* data = part->data.get() + index * StoredBytes(part->type, 1, cols);
  if (part->type == DType::kF32 && reinterpret_cast<std::uintptr_t>(data) % alignof(float) == 0)
    return reinterpret_cast<const float*>(data);
  ASSAY_TELL_READ(data, StoredBytes(part->type, 1, cols));
  ASSAY_TELL_WRITE(scratch, cols * sizeof(float));
  DequantiseRow(part->type, data, scratch, cols);
  return scratch;
}

const HostWeight& AsHost(const Weight& w) {
  const auto* host = dynamic_cast<const HostWeight*>(&w);
  Require(host != nullptr, "weight of format {} was prepared by other ops than the host's", w.format());
  return *host;
}

}  // namespace assay

#include "engine/ops/cuda_weight.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/ops/kept_format.h"
#include "engine/ops/kernels/convert.h"

namespace assay {
namespace {

// Type and layout of the whole; data pointers still null.
WeightView Planned(const std::vector<HostTensor>& parts, Precision precision, WeightUse use) {
  for (const HostTensor& part : parts)
    Require(part.data != nullptr || part.fill.has_value(), "{}: neither values nor a recipe", part.where);
  WeightView v;
  v.cols = parts[0].cols;
  const DType stored = parts[0].type;
  const bool uniform =
      std::all_of(parts.begin(), parts.end(), [&](const HostTensor& part) { return part.type == stored; });
  v.type = uniform ? KeptType(stored, precision, use, false) : OperandType(precision);
  if (use == WeightUse::kTable && uniform) {
    v.layout = IsQuantised(v.type) ? WeightLayout::kBlocks : WeightLayout::kPlain;
    v.stride = v.cols;
    v.row_bytes = static_cast<std::int64_t>(StoredBytes(v.type, 1, v.cols));
  } else {
    const KeptFormat& format = KeptFormatOf(v.type);
    v.layout = format.scale_bytes > 0 ? WeightLayout::kSplit : WeightLayout::kPlain;
    v.stride = format.Columns(v.cols);
    v.row_bytes = format.DataBytes(v.cols);
  }
  v.block = Info(v.type).block;
  v.block_bytes = Info(v.type).bytes;
  return v;
}

}  // namespace

CudaWeight::CudaWeight(const KernelContext& ctx, Memory& memory, const Buffer& staging,
                       const std::vector<HostTensor>& parts, WeightUse use)
    : Weight(parts), view_(Planned(parts, ctx.precision, use)) {
  view_.rows = rows;
  const std::int64_t all_rows = experts * rows;
  data_ = Buffer(memory, all_rows * view_.row_bytes, parts[0].where);
  view_.data = data_.data();
  if (view_.layout == WeightLayout::kSplit) {
    scales_ = Buffer(memory, all_rows * KeptFormatOf(view_.type).ScaleBytes(cols), parts[0].where + " scales");
    view_.scales = scales_.data();
  }
  Require(view_.layout != WeightLayout::kBlocks || experts == 1, "{}: a table of {} experts", parts[0].where, experts);
  std::int64_t first_row = 0;
  for (const HostTensor& part : parts) {
    Upload(ctx, memory, staging, part, first_row);
    first_row += part.rows;
    std::string format(Name(part.type));
    if (part.type != view_.type) format += " as " + std::string(Name(view_.type));
    if (format_.find(format) == std::string::npos) format_ += (format_.empty() ? "" : ", ") + format;
  }
}

void CudaWeight::Upload(const KernelContext& ctx, Memory& memory, const Buffer& staging, const HostTensor& part,
                        std::int64_t first_row) {
  const auto row_bytes = static_cast<std::int64_t>(StoredBytes(part.type, 1, part.cols));
  const std::int64_t chunk = std::max<std::int64_t>(static_cast<std::int64_t>(staging.bytes()) / row_bytes, 1);
  Require(row_bytes <= static_cast<std::int64_t>(staging.bytes()), "{}: a row of {} bytes is too long to upload",
          part.where, row_bytes);
  StoredRows from;
  from.view.rows = part.rows;
  from.view.cols = part.cols;
  from.view.row_bytes = row_bytes;
  from.view.type = part.type;
  from.view.layout = WeightLayout::kBlocks;
  from.view.block = Info(part.type).block;
  from.view.block_bytes = Info(part.type).bytes;
  from.first_row = first_row;
  const bool as_stored =
      view_.layout == WeightLayout::kBlocks ||
      (view_.layout == WeightLayout::kPlain && view_.type == part.type && view_.stride == part.cols && experts == 1);
  for (std::int64_t row = 0; row < part.experts * part.rows; row += chunk) {
    from.first = row;
    from.count = std::min(chunk, part.experts * part.rows - row);
    void* to = as_stored ? data_.as<std::byte>() + (first_row + row) * row_bytes : staging.data();
    if (part.data != nullptr) {
      memory.CopyIn(to, part.data.get() + row * row_bytes, from.count * row_bytes);
    } else {
      LaunchSynthetic(ctx, to, part.type, *part.fill, row * part.cols, from.count * part.cols);
    }
    if (as_stored) continue;
    from.view.data = to;
    LaunchConvert(ctx, view_, from);
  }
}

const WeightView& ViewOf(const Weight& weight) {
  const auto* cuda = dynamic_cast<const CudaWeight*>(&weight);
  Require(cuda != nullptr, "weight of format {} was prepared by other ops than CUDA's", weight.format());
  return cuda->view();
}

}  // namespace assay

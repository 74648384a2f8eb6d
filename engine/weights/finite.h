// Finds NaN and infinity in stored weights before they become silent garbage.
#pragma once

#include "engine/base/tensor.h"

namespace assay {

// Throws InputError naming the tensor, the row of the first bad value and how many there are, unless every value is
// finite and stays so when it is rounded to `as` (F32, F16 or BF16), the type it is multiplied in.
void RequireFinite(const HostTensor& tensor, DType as = DType::kF32);

}  // namespace assay

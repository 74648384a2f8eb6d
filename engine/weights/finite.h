// Finds NaN and infinity in stored weights before they become silent garbage.
#pragma once

#include "engine/base/tensor.h"

namespace assay {

// Throws InputError naming the tensor, the first bad element and how many there are, unless every value is finite.
void RequireFinite(const HostTensor& tensor);

}  // namespace assay

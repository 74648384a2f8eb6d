// Names of CUDA kernels as people read them.
#pragma once

#include <string>

namespace assay {

// "EmbedKernel<float, 4>" of the symbol that the compiler made of such a kernel: without return type, parameters and
// the namespaces of this project. Names that no C++ compiler made come back as they are.
std::string ReadableKernelName(const std::string& symbol);

}  // namespace assay

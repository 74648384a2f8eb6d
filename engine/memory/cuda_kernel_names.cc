#include "engine/memory/cuda_kernel_names.h"

#include <cudaTypedefs.h>

#include <set>
#include <utility>

#include "engine/memory/cuda_check.h"
#include "engine/memory/cuda_driver.h"
#include "engine/memory/kernel_name.h"

namespace assay {
namespace {

// A node names its kernel in one of two ways, by function or by kernel handle; the other is null.
using Handles = std::pair<CUfunction, CUkernel>;

// Handles of the kernel nodes; {null, null} for a node that does not tell. Graphs within the graph count as its parts.
void Collect(cudaGraph_t graph, std::set<Handles>& handles) {
  static const auto params_of =
      DriverFunction<PFN_cuGraphKernelNodeGetParams_v12000>("cuGraphKernelNodeGetParams", 12000);
  std::size_t count = 0;
  ASSAY_CUDA(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  ASSAY_CUDA(cudaGraphGetNodes(graph, nodes.data(), &count));
  for (const cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type = cudaGraphNodeTypeEmpty;
    ASSAY_CUDA(cudaGraphNodeGetType(node, &type));
    if (type == cudaGraphNodeTypeGraph) {
      cudaGraph_t child = nullptr;
      ASSAY_CUDA(cudaGraphChildGraphNodeGetGraph(node, &child));
      Collect(child, handles);
    } else if (type == cudaGraphNodeTypeKernel) {
      CUDA_KERNEL_NODE_PARAMS_v2 params = {};
      const bool told = params_of != nullptr && params_of(node, &params) == CUDA_SUCCESS;
      handles.insert(told ? Handles{params.func, params.kern} : Handles{});
    }
  }
}

std::string NameOf(Handles handles) {
#if CUDA_VERSION >= 12030
  static const auto of_function = DriverFunction<PFN_cuFuncGetName_v12030>("cuFuncGetName", 12030);
  static const auto of_kernel = DriverFunction<PFN_cuKernelGetName_v12030>("cuKernelGetName", 12030);
  const char* name = nullptr;
  const auto [function, kernel] = handles;
  const bool named = (function != nullptr && of_function != nullptr && of_function(&name, function) == CUDA_SUCCESS) ||
                     (kernel != nullptr && of_kernel != nullptr && of_kernel(&name, kernel) == CUDA_SUCCESS);
  if (named && name != nullptr) return ReadableKernelName(name);
#else
  static_cast<void>(handles);
#endif
  return kUnnamedKernel;
}

}  // namespace

std::vector<std::string> GraphKernelNames(cudaGraph_t graph) {
  std::set<Handles> handles;
  Collect(graph, handles);
  std::set<std::string> names;
  for (const Handles& each : handles) names.insert(NameOf(each));
  return {names.begin(), names.end()};
}

std::string KernelNameOf(const void* kernel) {
#if CUDART_VERSION >= 12030
  const char* name = nullptr;
  if (cudaFuncGetName(&name, kernel) == cudaSuccess && name != nullptr) return ReadableKernelName(name);
  (void)cudaGetLastError();
#else
  static_cast<void>(kernel);
#endif
  return kUnnamedKernel;
}

}  // namespace assay

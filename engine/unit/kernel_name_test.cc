#include "engine/memory/kernel_name.h"

#include <gtest/gtest.h>

namespace assay {
namespace {

TEST(KernelName, IsWithoutNamespaceReturnTypeAndParameters) {
  EXPECT_EQ(
      ReadableKernelName("_ZN5assay40_GLOBAL__N__6bd5d8b6_8_embed_cu_385d991314PleInputKernelEPfPKfNS_10WeightViewE"
                         "S3_PKiiiifff"),
      "PleInputKernel");
  EXPECT_EQ(
      ReadableKernelName("_ZN5assay40_GLOBAL__N__6bd5d8b6_8_embed_cu_385d991311EmbedKernelIfEEvPfPT_NS_10WeightView"
                         "EPKif"),
      "EmbedKernel<float>");
  EXPECT_EQ(ReadableKernelName("_ZN5assay12_GLOBAL__N_110GateKernelI6__halfLi4EEEvPT_PKfllNS_10ActivationE"),
            "GateKernel<__half, 4>");
}

TEST(KernelName, OfALibraryStaysRecognisable) {
  EXPECT_EQ(ReadableKernelName("nvjet_hsh_128x16_64x12_1x2_h_bz_TNT"), "nvjet_hsh_128x16_64x12_1x2_h_bz_TNT");
  EXPECT_EQ(ReadableKernelName("_ZN7cutlass6KernelI4GemmEEvNT_6ParamsE"), "cutlass::Kernel<Gemm>");
  EXPECT_EQ(ReadableKernelName(""), "");
}

}  // namespace
}  // namespace assay

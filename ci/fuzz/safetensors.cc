#include "engine/weights/safetensors.h"

#include "ci/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return assay::Fuzzed([&] { assay::SafetensorsFile(assay::PutInput("x.safetensors", assay::TextOf(data, size))); });
}

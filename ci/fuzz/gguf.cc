#include "engine/weights/gguf.h"

#include "ci/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return assay::Fuzzed([&] { assay::ReadAll(*assay::OpenGguf(assay::PutInput("x.gguf", assay::TextOf(data, size)))); });
}

#include "ci/fuzz/fuzz.h"
#include "engine/weights/hf_config.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return assay::Fuzzed([&] { assay::SpecFromHfConfig(assay::TextOf(data, size), "config.json", "fuzzed"); });
}

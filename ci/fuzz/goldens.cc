// Recorded logits: JSON where the input begins like it, else safetensors.
#include "ci/fuzz/fuzz.h"
#include "oracles/golden/trace.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assay;
  const std::string_view bytes = TextOf(data, size);
  const bool json = bytes.starts_with('{') || bytes.starts_with('[');
  return Fuzzed(
      [&] { ReadGolden(PutInput(json ? "x.json" : "x.safetensors", bytes), {.vocab = size % 2 == 0 ? 0 : 7}); });
}

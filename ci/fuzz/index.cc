// A model.safetensors.index.json beside one shard, "model.safetensors", that holds tensor "a".
#include "ci/fuzz/fuzz.h"
#include "engine/weights/hf_shards.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace assay;
  static const std::string shard = [] {
    const std::string header = R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
    return PutInput("model.safetensors",
                    std::string{static_cast<char>(header.size()), 0, 0, 0, 0, 0, 0, 0} + header + "x");
  }();
  PutInput("model.safetensors.index.json", TextOf(data, size));
  return Fuzzed([&] { Shards shards(FuzzFolder()); });
}

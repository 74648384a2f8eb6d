#include "suites/suites.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace assay {
namespace {

// What runs when nothing is asked for.
TEST(DefaultModels, CoverEveryFamilyInItsFormats) {
  const std::vector<std::string> models = DefaultModels();
  const auto has = [&](const std::string& name) {
    return std::find(models.begin(), models.end(), name) != models.end();
  };
  for (const char* name : {"gemma4-nano", "qwen3-nano", "hf-tiny/gemma4-e2b", "hf-tiny/llama3", "hf-tiny/mistral"}) {
    EXPECT_TRUE(has(name)) << name;
    EXPECT_TRUE(has(std::string(name) + "@q8_0")) << name;
  }
  for (const char* name : {"gguf-tiny/gemma3", "gguf-tiny/qwen2", "tiny-llama", "tiny-gemma4-moe"})
    EXPECT_TRUE(has(name)) << name;
  EXPECT_EQ(std::count_if(models.begin(), models.end(), [](const auto& name) { return name.ends_with("@q8_0"); }), 12);
}

}  // namespace
}  // namespace assay

// The models that travel with the project: trained nano models and tiny goldens under suites/fixtures.
#pragma once

#include <string>
#include <vector>

namespace assay {

// Root of the fixtures: the environment variable ASSAY_FIXTURES, else ../share/assay beside the folder of the running
// program, where an installation puts them, else where they were at build time.
std::string FixtureRoot();

struct EmbeddedModel {
  std::string name;     // "gemma4-nano", "hf-tiny/qwen3", "gguf-tiny/llama"
  std::string path;     // what OpenModel takes
  std::string goldens;  // recorded answers beside it
};
// All embedded models whose files are present, nano models first.
std::vector<EmbeddedModel> EmbeddedModels();

// An embedded name becomes its path, with its suffix (@q8_0) if it has one; anything else passes.
std::string ResolveModel(const std::string& model);
// The goldens recorded beside a model (embedded name or path); empty when there are none.
std::string GoldensOf(const std::string& model);

}  // namespace assay

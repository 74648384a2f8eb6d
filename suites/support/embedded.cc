#include "suites/support/embedded.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "engine/weights/requantised.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

std::string Goldens(const fs::path& model) {
  fs::path beside =
      fs::is_directory(model) ? model / "goldens.safetensors" : fs::path(model).replace_extension(".logits.json");
  return fs::exists(beside) ? beside.string() : std::string();
}

std::vector<EmbeddedModel> Find() {
  std::vector<EmbeddedModel> models;
  const auto add = [&](const std::string& prefix, const fs::path& folder) {
    std::vector<EmbeddedModel> found;
    std::error_code none;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, none)) {
      const bool usable =
          entry.is_directory() ? fs::exists(entry.path() / "config.json") : entry.path().extension() == ".gguf";
      if (usable)
        found.push_back({prefix + entry.path().stem().string(), entry.path().string(), Goldens(entry.path())});
    }
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    models.insert(models.end(), found.begin(), found.end());
  };
  const fs::path root = FixtureRoot();
  add("", root / "models");
  add("hf-tiny/", root / "goldens" / "hf-tiny");
  add("gguf-tiny/", root / "goldens" / "gguf-tiny");
  return models;
}

}  // namespace

std::string FixtureRoot() {
  const char* from_environment = std::getenv("ASSAY_FIXTURES");
  return from_environment != nullptr && *from_environment != '\0' ? from_environment : ASSAY_FIXTURES;
}

const std::vector<EmbeddedModel>& EmbeddedModels() {
  static const std::vector<EmbeddedModel> models = Find();
  return models;
}

std::string ResolveModel(const std::string& model) {
  const QuantisedName name = SplitQuantisedName(model);
  for (const EmbeddedModel& embedded : EmbeddedModels())
    if (embedded.name == name.base) return embedded.path + name.suffix;
  return model;
}

std::string GoldensOf(const std::string& model) {
  const fs::path path = ResolveModel(model);
  return fs::exists(path) ? Goldens(path) : std::string();
}

}  // namespace assay

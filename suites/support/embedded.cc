#include "suites/support/embedded.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "engine/weights/requantised.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

std::string Goldens(const fs::path& model) {
  if (fs::is_directory(model))
    return fs::exists(model / "goldens.safetensors") ? (model / "goldens.safetensors").string() : std::string();
  // Of "m.gguf" it is m.logits.json or m.goldens.safetensors; a file without an extension keeps its whole name.
  for (const char* extension : {".logits.json", ".goldens.safetensors"})
    if (const fs::path beside = fs::path(model).replace_extension(extension); fs::exists(beside))
      return beside.string();
  return "";
}

bool IsCheckpoint(const fs::path& path) {
  std::error_code none;
  return fs::is_directory(path, none) ? fs::exists(path / "config.json", none) : path.extension() == ".gguf";
}

}  // namespace

std::vector<EmbeddedModel> EmbeddedModels() {
  std::vector<EmbeddedModel> models;
  const auto add = [&](const std::string& prefix, const fs::path& folder) {
    std::vector<EmbeddedModel> found;
    std::error_code none;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, none)) {
      if (IsCheckpoint(entry.path()))
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

std::string FixtureRoot() {
  const char* from_environment = std::getenv("ASSAY_FIXTURES");
  if (from_environment != nullptr && *from_environment != '\0') return from_environment;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / "share" / "assay";
  return !error && fs::is_directory(installed / "models", error) ? installed.string() : std::string(ASSAY_FIXTURES);
}

std::string ResolveModel(const std::string& model) {
  const QuantisedName name = SplitQuantisedName(model);
  const fs::path root = FixtureRoot();
  std::error_code none;
  if (name.base.empty() || name.base.find("..") != std::string::npos || name.base.front() == '/') return model;
  for (const fs::path& path :
       {root / "models" / name.base, root / "goldens" / name.base, root / "goldens" / (name.base + ".gguf")})
    if (fs::exists(path, none) && IsCheckpoint(path)) return path.string() + name.suffix;
  return model;
}

std::string GoldensOf(const std::string& model) {
  const fs::path path = ResolveModel(model);
  return fs::exists(path) ? Goldens(path) : std::string();
}

}  // namespace assay

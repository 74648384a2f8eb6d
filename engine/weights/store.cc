#include "engine/weights/store.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/base/quant.h"
#include "engine/model/presets.h"
#include "engine/weights/gguf.h"
#include "engine/weights/hugging_face.h"
#include "engine/weights/requantised.h"
#include "engine/weights/synthetic.h"

namespace assay {

std::string WeightStore::Identity(IdentityExtent extent) const {
  const std::lock_guard lock(mutex_);
  const auto known = identities_.find(extent);
  return known != identities_.end() ? known->second : identities_[extent] = Digested(extent);
}

namespace {

namespace fs = std::filesystem;

// The values of a recipe whose bytes nobody asked for, as they would be stored.
void RecipeToFloats(const HostTensor& tensor, float* out, std::int64_t first, std::int64_t count) {
  std::byte piece[4096];
  const std::int64_t element = Info(tensor.type).bytes, most = static_cast<std::int64_t>(sizeof(piece)) / element;
  for (std::int64_t done = 0; done < count; done += most) {
    const std::int64_t now = std::min(most, count - done);
    FillSynthetic(tensor.type, *tensor.fill, piece, first + done, now);
    DequantiseRow(tensor.type, piece, out + done, now);
  }
}

// Content-addressed stores name files by their digest: the first bytes say what a file is.
bool BeginsAsGguf(const std::string& path) {
  char magic[4] = {};
  std::ifstream file(path, std::ios::binary);
  return file.read(magic, sizeof magic) && std::string_view(magic, sizeof magic) == "GGUF";
}

}  // namespace

std::unique_ptr<WeightStore> OpenModel(const std::string& model, std::uint64_t seed) {
  if (const QuantisedName name = SplitQuantisedName(model); name.type)
    return Requantise(OpenModel(name.base, seed), *name.type);
  std::error_code error;
  const fs::path path(model);
  if (fs::is_directory(path, error)) {
    Require(fs::exists(path / "config.json", error), "{}: the folder has no config.json", model);
    return OpenHuggingFace(model);
  }
  if (fs::exists(path, error)) {
    if (path.extension() == ".gguf" || BeginsAsGguf(model)) return OpenGguf(model);
    Throw("{}: expected a folder with config.json, a GGUF file or a preset's name", model);
  }
  if (IsPreset(model)) return OpenSynthetic(Preset(model), seed);
  std::string presets;
  for (const std::string& name : PresetNames()) presets += (presets.empty() ? "" : ", ") + name;
  Throw(
      "no model '{}': neither a folder with config.json nor a .gguf file is there, and it is none of the presets {} "
      "(a suffix @q8_0 or @q4_0 quantises any of these)",
      model, presets);
}

void ReadRow(const HostTensor& tensor, std::int64_t row, float* out) {
  if (tensor.data == nullptr) return RecipeToFloats(tensor, out, row * tensor.cols, tensor.cols);
  const std::size_t row_bytes = StoredBytes(tensor.type, 1, tensor.cols);
  DequantiseRow(tensor.type, tensor.data.get() + row * row_bytes, out, tensor.cols);
}

std::vector<float> ToFloats(const HostTensor& tensor) {
  Require(tensor.experts >= 0 && tensor.rows >= 0 && tensor.cols >= 0, "{}: negative size", tensor.where);
  std::int64_t rows = 0;
  Require(!__builtin_mul_overflow(tensor.experts, tensor.rows, &rows), "{}: size overflows", tensor.where);
  const std::size_t needed = StoredBytes(tensor.type, rows, tensor.cols);
  Require(tensor.data == nullptr ? tensor.fill.has_value() : tensor.bytes >= needed, "{}: {} bytes, expected {}",
          tensor.where, tensor.bytes, needed);
  std::vector<float> values(rows * tensor.cols);
  if (values.empty()) return values;
  const std::size_t row_bytes = StoredBytes(tensor.type, 1, tensor.cols);
  const std::int64_t grain = std::max<std::int64_t>(1, 65536 / tensor.cols);
  ParallelFor(rows, grain, [&](std::int64_t begin, std::int64_t end) {
    float* out = values.data() + begin * tensor.cols;
    if (tensor.data == nullptr) return RecipeToFloats(tensor, out, begin * tensor.cols, (end - begin) * tensor.cols);
    DequantiseRow(tensor.type, tensor.data.get() + begin * row_bytes, out, (end - begin) * tensor.cols);
  });
  return values;
}

}  // namespace assay

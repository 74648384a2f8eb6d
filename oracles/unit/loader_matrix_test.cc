// Every setting of a config that loaders have got wrong, in every family and both formats, against what transformers
// computes for it: see ci/loader_matrix.py, which recorded the logits and the texts of refusals.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/base/quant.h"
#include "engine/testing/checkpoint_files.h"
#include "engine/testing/complaint.h"
#include "engine/testing/fixtures.h"
#include "engine/testing/gguf_image.h"
#include "engine/weights/safetensors.h"
#include "engine/weights/store.h"
#include "engine/weights/strict_json.h"
#include "oracles/reference/decoder.h"

namespace assay {
namespace {

using nlohmann::json;

const std::string kFolder = Fixture("loader_matrix/");

bool Has(const std::string& words, const std::string& word) {
  return fmt::format(" {} ", words).find(fmt::format(" {} ", word)) != std::string::npos;
}

std::vector<float> Values(const SafetensorsFile& file, const SafetensorsEntry& entry) {
  std::vector<std::byte> bytes(entry.bytes);
  file.file().Read(bytes, entry.offset, entry.name);
  std::vector<float> values(entry.bytes / Info(*entry.type).bytes);
  DequantiseRow(*entry.type, bytes.data(), values.data(), static_cast<std::int64_t>(values.size()));
  return values;
}

// The folder of a cell: its config beside the family's tensors, as far as its words ask for them.
std::string WriteFolder(const ScratchFolder& folder, const json& cell) {
  const std::string family = cell["family"], words = cell["tensors"];
  const SafetensorsFile file(kFolder + family + ".safetensors");
  std::vector<TestTensor> tensors;
  for (const SafetensorsEntry& entry : file.entries()) {
    std::string name(entry.name);
    const bool usual_bias = family == "qwen2" && name.find("o_proj") == std::string::npos;
    if (name.ends_with(".bias") && !Has(words, "bias") && !usual_bias) continue;
    if (name == "lm_head.weight" && !Has(words, "head")) continue;
    const bool embedding = name == "model.embed_tokens.weight";
    if (embedding && Has(words, "only_head")) name = "lm_head.weight";
    if (name.starts_with("model.") && Has(words, "language_model.")) name.replace(0, 6, "language_model.");
    tensors.push_back({name, entry.shape, Values(file, entry)});
    if (embedding && Has(words, "equal_head")) tensors.push_back({"lm_head.weight", entry.shape, Values(file, entry)});
  }
  folder.Put("config.json", cell["config"].dump());
  folder.Put("model.safetensors", SafetensorsBytes(tensors));
  return folder.path();
}

std::string WriteGguf(const ScratchFolder& folder, const json& cell) {
  constexpr std::uint32_t kString = 8;
  const std::string family = cell["family"], words = cell["tensors"];
  GgufImage image = GgufImage::Read(kFolder + family + ".gguf");
  std::vector<std::string> unwanted;
  for (const GgufImage::Tensor& tensor : image.tensors) {
    const bool usual_bias = family == "qwen2" && tensor.name.find("attn_output") == std::string::npos;
    if (tensor.name.ends_with(".bias") && !Has(words, "bias") && !usual_bias) unwanted.push_back(tensor.name);
    if (tensor.name == "output.weight" && !Has(words, "head")) unwanted.push_back(tensor.name);
  }
  for (const std::string& name : unwanted) image.Drop(name);
  for (const json& change : cell["metadata"]) {
    const std::string stated = change[0];
    const std::string key =
        stated[0] == '/' ? stated.substr(1) : fmt::format("{}.{}", family, stated.substr(stated[0] == '-' ? 1 : 0));
    if (stated[0] == '-') {
      image.Drop(key);
    } else if (change[1] == kString) {
      image.SetString(key, change[2]);
    } else {
      image.Set(key, change[1], {change[2].get<double>()});
    }
  }
  folder.Put("model.gguf", image.Bytes());
  return folder.path() + "/model.gguf";
}

double LargestDifference(const std::string& model, const std::vector<std::int32_t>& tokens,
                         std::span<const float> expected, int rows) {
  const auto decoder = MakeReference(*OpenModel(model));
  double largest = 0;
  const std::size_t vocab = expected.size() / rows;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::vector<double> found = decoder->Step(tokens[i]).capped;
    if (i + rows < tokens.size()) continue;
    const std::size_t row = i + rows - tokens.size();
    if (found.size() != vocab) return INFINITY;
    for (std::size_t token = 0; token < vocab; ++token)
      largest = std::fmax(largest, std::abs(found[token] - static_cast<double>(expected[row * vocab + token])));
  }
  return largest;
}

TEST(LoaderMatrix, EveryCellMatchesTransformersOrIsRefusedByName) {
  const json document = ReadJsonFile(kFolder + "cells.json", JsonLimits{});
  const SafetensorsFile logits(kFolder + "logits.safetensors");
  const auto tokens = document["tokens"].get<std::vector<std::int32_t>>();
  std::map<std::string, int> cells;
  for (const json& cell : document["cells"]) {
    const std::string name = cell["name"], expected = cell["expected"];
    SCOPED_TRACE(name);
    ++cells[expected == "MATCH" ? "MATCH" : "refused"];
    const ScratchFolder folder;
    const std::string model = cell.contains("config") ? WriteFolder(folder, cell) : WriteGguf(folder, cell);
    if (expected != "MATCH") {
      const std::string complaint = Complaint([&] { OpenModel(model); });
      EXPECT_NE(complaint.find(expected), std::string::npos)
          << "expected a refusal that names " << expected << ", found: " << complaint;
      continue;
    }
    const SafetensorsEntry* entry = logits.Find(name);
    ASSERT_NE(entry, nullptr);
    try {
      EXPECT_LE(LargestDifference(model, tokens, Values(logits, *entry), document["rows"]), 1e-4);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GE(cells["MATCH"], 200);
  EXPECT_GE(cells["refused"], 80);
}

}  // namespace
}  // namespace assay

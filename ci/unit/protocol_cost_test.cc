// What the way through the protocol costs a step, where there is most to send, and that it changes no bit.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/model/tensors.h"
#include "engine/testing/checkpoint_files.h"
#include "engine/testing/scratch_folder.h"
#include "engine/weights/hf_config.h"
#include "suites/support/workbench.h"
#include "suites/systems/process_provider.h"

namespace assay {
namespace {

constexpr int kVocab = 262144, kSessions = 8, kSteps = 40;
constexpr const char* kConfig =
    R"({"model_type": "llama", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 16, "vocab_size": 262144, "max_position_embeddings": 128,
  "tie_word_embeddings": true})";

void WriteModel(const ScratchFolder& folder) {
  const ModelSpec spec = SpecFromHfConfig(kConfig, "config", "test");
  std::vector<TestTensor> tensors;
  for (const TensorEntry& entry : Catalogue(spec)) {
    TestTensor tensor{"model." + HuggingFaceNames(spec, entry.key)[0], {}, {}};
    if (entry.rows > 1) tensor.shape.push_back(entry.rows);
    tensor.shape.push_back(entry.cols);
    for (std::int64_t i = 0; i < entry.elements(); ++i)
      tensor.values.push_back(static_cast<float>(i * 2654435761 % 1009) / 504.5f - 1);
    tensors.push_back(std::move(tensor));
  }
  folder.Put("config.json", kConfig);
  folder.Put("model.safetensors", SafetensorsBytes(tensors));
}

struct Played {
  std::vector<float> last;      // logits of the last step
  std::vector<double> seconds;  // of each step
};

Played Play(Workbench& bench, const Target& target) {
  const auto system = bench.Open(target, {.max_sessions = kSessions, .capacity = 64, .max_chunk = 8, .max_rows = 16});
  std::vector<SessionId> sessions;
  for (int i = 0; i < kSessions; ++i) sessions.push_back(system->OpenWith(RandomTokens(0, i, 5, kVocab)));
  Played played;
  for (int step = 0; step < kSteps; ++step) {
    const Tokens tokens = RandomTokens(1, step, kSessions, kVocab);
    std::vector<Feed> feeds;
    for (int i = 0; i < kSessions; ++i) feeds.push_back({sessions[i], std::span(tokens).subspan(i, 1)});
    const auto start = std::chrono::steady_clock::now();
    StepResult result = system->Step(feeds);
    played.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    played.last = std::move(result.raw);
  }
  return played;
}

TEST(ProtocolCost, OfAStepWithEightRowsOfALargeVocabulary) {
  const ScratchFolder folder;
  WriteModel(folder);
  Target target;
  target.model = folder.path();
  Workbench own, served(std::make_unique<ProcessProvider>(SystemCommand{fmt::format("'{}' serve", ASSAY_PROGRAM)}));
  const Played in_process = Play(own, target), through = Play(served, target);
  ASSERT_EQ(through.last.size(), std::size_t{kVocab} * kSessions);
  EXPECT_EQ(in_process.last, through.last);
  const auto least = [](const Played& played) {
    return *std::min_element(played.seconds.begin(), played.seconds.end());
  };
  fmt::print("a step of {} sessions, {} logits each: {:.2f} ms in process, {:.2f} ms through the protocol\n", kSessions,
             kVocab, 1e3 * least(in_process), 1e3 * least(through));
}

}  // namespace
}  // namespace assay

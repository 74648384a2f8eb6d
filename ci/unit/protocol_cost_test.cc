// What the way through the protocol costs a step, where there is most to send, and that it changes no bit.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/heap.h"
#include "engine/base/portable.h"
#include "engine/base/random.h"
#include "engine/model/tensors.h"
#include "engine/testing/checkpoint_files.h"
#include "engine/testing/scratch_folder.h"
#include "engine/weights/hf_config.h"
#include "suites/support/workbench.h"
#include "suites/systems/process_provider.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kMostSeconds = 1e-3;  // that the protocol may cost a step
constexpr bool kMeasured = !ASSAY_ADDRESS_SANITIZER && !ASSAY_THREAD_SANITIZER;
constexpr int kVocab = 262144, kSessions = 8, kSteps = 30;
constexpr std::chrono::seconds kLongest{kMeasured ? 6 : 0};
constexpr const char* kConfig =
    R"({{"model_type": "{}", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
  "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 16, "vocab_size": 262144, "max_position_embeddings": 8192,
  "tie_word_embeddings": true, "query_pre_attn_scalar": 8, "sliding_window": 64, "layer_types": ["full_attention"]
  {}}})";

void WriteModel(const ScratchFolder& folder, const std::string& config) {
  const ModelSpec spec = SpecFromHfConfig(config, "config", "test");
  std::vector<TestTensor> tensors;
  for (const TensorEntry& entry : Catalogue(spec)) {
    TestTensor tensor{"model." + HuggingFaceNames(spec, entry.key)[0], {}, {}};
    if (entry.rows > 1) tensor.shape.push_back(entry.rows);
    tensor.shape.push_back(entry.cols);
    for (std::int64_t i = 0; i < entry.elements(); ++i)
      tensor.values.push_back(static_cast<float>(i * 2654435761 % 1009) / 504.5f - 1);
    tensors.push_back(std::move(tensor));
  }
  folder.Put("config.json", config);
  folder.Put("model.safetensors", SafetensorsBytes(tensors));
}

// Sessions of one system, stepped one token each.
class Player {
 public:
  Player(Workbench& bench, const Target& target)
      : system_(bench.Open(target, {.max_sessions = kSessions, .capacity = 8192, .max_chunk = 8, .max_rows = 16})) {
    for (int i = 0; i < kSessions; ++i) sessions_.push_back(system_->OpenWith(RandomTokens(0, i, 5, kVocab)));
  }

  // What the last of its steps gave.
  StepResult Round(int round) {
    StepResult last;
    for (int step = 0; step < kSteps; ++step) last = Step(RandomTokens(round, step, kSessions, kVocab));
    return last;
  }
  double least() const { return least_; }  // seconds of a step

 private:
  StepResult Step(const Tokens& tokens) {
    std::vector<Feed> feeds;
    for (int i = 0; i < kSessions; ++i) feeds.push_back({sessions_[i], std::span(tokens).subspan(i, 1)});
    const auto start = Clock::now();
    StepResult result = system_->Step(feeds);
    least_ = std::min(least_, std::chrono::duration<double>(Clock::now() - start).count());
    return result;
  }

  std::unique_ptr<SystemUnderTest> system_;
  std::vector<SessionId> sessions_;
  double least_ = 1e9;
};

// What runs now, this thread among it.
int Running() {
  std::ifstream in("/proc/loadavg");
  std::string one, five, fifteen;
  int running = 0;
  in >> one >> five >> fifteen >> running;
  return running;
}

// Rounds of steps in process and of the same through the protocol, until the least of each say what is to be shown or
// there were enough: other processes make steps longer, never shorter.
void Measure(const std::string& config) {
  KeepFreedMemory();  // as the program does
  const ScratchFolder folder;
  WriteModel(folder, config);
  Target target;
  target.model = folder.path();
  Workbench own, served(std::make_unique<ProcessProvider>(SystemCommand{fmt::format("'{}' serve", ASSAY_PROGRAM)}));
  Player in_process(own, target), through(served, target);
  const auto until = Clock::now() + kLongest;
  double cost = 0;  // seconds
  int round = 0, busy = 0;
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // threads of the round before have stopped spinning
    busy += Running() > 1;
    const StepResult expected = in_process.Round(round), found = through.Round(round);
    ASSERT_EQ(found.raw.size(), std::size_t{kVocab} * kSessions);
    ASSERT_TRUE(expected.raw == found.raw && expected.capped == found.capped && expected.best == found.best);
    cost = through.least() - in_process.least();
    ++round;
  } while (cost > kMostSeconds && Clock::now() < until);
  fmt::print("a step of {} sessions, {} logits each: {:.2f} ms in process, {:.2f} ms through the protocol\n", kSessions,
             kVocab, 1e3 * in_process.least(), 1e3 * through.least());
  if (!kMeasured || cost <= kMostSeconds) return;
  if (2 * busy > round) GTEST_SKIP() << "others ran on this machine in " << busy << " of " << round << " rounds";
  ADD_FAILURE() << "the protocol costs " << 1e3 * cost << " ms a step, at most " << 1e3 * kMostSeconds
                << " are allowed";
}

TEST(ProtocolCost, OfAStepWithEightRowsOfALargeVocabulary) { Measure(fmt::format(kConfig, "llama", "")); }

TEST(ProtocolCost, OfTheSameWithASoftcap) {
  Measure(fmt::format(kConfig, "gemma3_text", R"(, "final_logit_softcapping": 30)"));
}

}  // namespace
}  // namespace assay

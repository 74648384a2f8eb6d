// What the way through the protocol costs a step, where there is most to send, and that it changes no bit.
#include <fmt/core.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/heap.h"
#include "engine/base/parallel.h"
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
// What a step may take beyond what the system says of itself, in copies of its rows that are timed beside it: a machine
// with other work or slower memory is slower at both. Three are usual; rows with a softcap took seven through the
// stream.
constexpr double kMostCopies = 5;
constexpr bool kMeasured = !ASSAY_ADDRESS_SANITIZER && !ASSAY_THREAD_SANITIZER;
constexpr int kVocab = 262144, kSessions = 8, kSteps = 30;
constexpr std::chrono::seconds kLongest{kMeasured ? 20 : 0};
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
  // The least seconds of a step, and of what it took beyond the system's own clock.
  double least() const { return least_; }
  double around() const { return around_; }

 private:
  StepResult Step(const Tokens& tokens) {
    std::vector<Feed> feeds;
    for (int i = 0; i < kSessions; ++i) feeds.push_back({sessions_[i], std::span(tokens).subspan(i, 1)});
    const auto start = Clock::now();
    SystemUnderTest::TimedRows timed = system_->StepTimed(feeds);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    least_ = std::min(least_, seconds);
    around_ = std::min(around_, seconds - timed.seconds);
    return std::move(timed.result);
  }

  std::unique_ptr<SystemUnderTest> system_;
  std::vector<SessionId> sessions_;
  double least_ = 1e9, around_ = 1e9;
};

// Copies of what a step gives, as many threads as copy it out of shared memory, in the same minute on the same machine.
class CopyTimer {
 public:
  void Round(const StepResult& result) {
    for (int copy = 0; copy < kSteps; ++copy) {
      const auto start = Clock::now();
      ParallelFor(2, 1, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) to_[i] = i == 0 ? result.raw : result.capped;
      });
      least_ = std::min(least_, std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  double least() const { return least_; }  // seconds

 private:
  std::vector<float> to_[2];
  double least_ = 1e9;
};

// Rounds of steps in process and of the same through the protocol, until the least of each say what is to be shown or
// there were enough: other processes make steps longer, never shorter.
void CompareSteps(const std::string& config) {
  KeepFreedMemory();  // as the program does
  const ScratchFolder folder;
  WriteModel(folder, config);
  Target target;
  target.model = folder.path();
  Workbench own, served(std::make_unique<ProcessProvider>(SystemCommand{fmt::format("'{}' serve", ASSAY_PROGRAM)}));
  Player in_process(own, target), through(served, target);
  CopyTimer copies;
  const auto until = Clock::now() + kLongest;
  for (int round = 0; round == 0 || (Clock::now() < until && through.around() > kMostCopies * copies.least());
       ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // threads of the round before have stopped spinning
    const StepResult expected = in_process.Round(round), found = through.Round(round);
    ASSERT_EQ(found.raw.size(), std::size_t{kVocab} * kSessions);
    ASSERT_TRUE(expected.raw == found.raw && expected.capped == found.capped && expected.best == found.best);
    copies.Round(found);
  }
  fmt::print(
      "a step of {} sessions, {} logits each: {:.2f} ms in process, {:.2f} ms through the protocol, {:.2f} ms of them "
      "around the system's own; a copy of its rows: {:.2f} ms\n",
      kSessions, kVocab, 1e3 * in_process.least(), 1e3 * through.least(), 1e3 * through.around(), 1e3 * copies.least());
  if (kMeasured) {
    EXPECT_LE(through.around(), kMostCopies * copies.least());
  }
}

TEST(ProtocolCost, OfAStepWithEightRowsOfALargeVocabulary) { CompareSteps(fmt::format(kConfig, "llama", "")); }

TEST(ProtocolCost, OfTheSameWithASoftcap) {
  CompareSteps(fmt::format(kConfig, "gemma3_text", R"(, "final_logit_softcapping": 30)"));
}

}  // namespace
}  // namespace assay

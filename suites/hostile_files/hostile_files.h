// What the tests of hostile files share. Whatever the bytes, a model either opens and loads, or exactly one InputError
// says which file is wrong: no other exception, no crash (the suite is run under sanitizers), no memory beyond a budget
// set by the files' size.
#pragma once

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "engine/base/check.h"
#include "engine/base/random.h"
#include "engine/weights/finite.h"
#include "engine/weights/gguf.h"
#include "engine/weights/hugging_face.h"
#include "suites/hostile_files/counted_memory.h"

namespace assay {

namespace fs = std::filesystem;

// The budget: kFloor + kFactor x bytes of all files of the model. The factor covers parsed headers, permuted and joined
// copies and decoded rows; the floor what opening anything costs.
constexpr std::size_t kFloor = 512u << 10, kFactor = 8;

enum class Want { kEither, kRefused, kAccepted };

inline std::unique_ptr<WeightStore> Open(const std::string& path) {
  return fs::is_directory(path) ? OpenHuggingFace(path) : OpenGguf(path);
}

inline std::size_t BytesOf(const std::string& path) {
  if (!fs::is_directory(path)) return fs::file_size(path);
  std::size_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_regular_file()) bytes += entry.file_size();
  return bytes;
}

// Opens and loads everything, one damaged model after the other, and keeps the tally.
class Tally {
 public:
  // Waking threads for thousands of tiny tensors would take most of the time.
  Tally() { omp_set_num_threads(1); }
  ~Tally() {
    omp_set_num_threads(threads_);
    ::testing::Test::RecordProperty("files", files_);
    ::testing::Test::RecordProperty("accepted", accepted_);
    std::printf("%d files, %d accepted, worst memory %.2f of the budget\n", files_, accepted_, worst_);
  }

  // Returns the message; empty when accepted.
  std::string Try(const std::string& path, const std::string& what, Want want = Want::kEither) {
    ++files_;
    std::string message;
    bool refused = false;
    StartCounting();
    try {
      const auto store = Open(path);
      for (const TensorEntry& entry : Catalogue(store->spec()))
        if (store->Has(entry.key)) RequireFinite(store->Load(entry.key));
    } catch (const InputError& error) {
      refused = true;
      message = error.what();
    } catch (const std::exception& error) {
      ADD_FAILURE() << what << ": not an InputError: " << error.what();
    } catch (...) {
      ADD_FAILURE() << what << ": an exception of no known type";
    }
    const MemoryUse use = StopCounting();
    const std::size_t budget = kFloor + kFactor * BytesOf(path);
    worst_ = std::max(worst_, static_cast<double>(std::max(use.peak, use.largest)) / static_cast<double>(budget));
    EXPECT_LE(use.peak, budget) << what << ": memory";
    EXPECT_LE(use.largest, budget) << what << ": one allocation";
    accepted_ += refused ? 0 : 1;
    if (want != Want::kEither) {
      EXPECT_EQ(refused, want == Want::kRefused) << what << ": " << message;
    }
    if (refused) {
      EXPECT_NE(message.find(path), std::string::npos) << what << ": names no file: " << message;
      EXPECT_LT(message.size(), 1000 + 4 * path.size()) << what;
      for (const char c : message)
        EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20) << what << ": control character in: " << message;
    }
    return message;
  }

  int files() const { return files_; }

 private:
  const int threads_ = omp_get_max_threads();
  int files_ = 0, accepted_ = 0;
  double worst_ = 0;
};

// Numbers from a fixed seed.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : seed_(seed) {}
  std::size_t Below(std::size_t end) { return RandomBits(seed_, next_++) % end; }

 private:
  std::uint64_t seed_, next_ = 0;
};

inline std::string Flipped(std::string bytes, std::size_t end, Dice& dice) {
  const std::size_t flips = 1 + dice.Below(3);
  for (std::size_t i = 0; i < flips; ++i) {
    char& byte = bytes[dice.Below(end)];
    byte = static_cast<char>(dice.Below(2) == 0 ? byte ^ (1 << dice.Below(8)) : static_cast<int>(dice.Below(256)));
  }
  return bytes;
}

}  // namespace assay

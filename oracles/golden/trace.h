// Recorded answers of other decoders: what transformers or llama.cpp computed for a checkpoint, in one form for every
// file layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/ops/precision.h"

namespace assay {

// One recorded sequence. Parts that a file does not hold are empty.
struct GoldenSequence {
  std::string name{};                  // "0": as in the file's keys
  std::vector<std::int32_t> tokens{};  // [T]
  int rows = 0;                        // R: logits are recorded for the last R of the T positions
  std::vector<float> logits{};         // [R, vocab] final logits, after any softcap
  std::vector<std::int32_t> answer{};  // [T] 1 where earlier text determines the token: position t-1 must predict it
  int hidden_entries = 0, hidden = 0;  // layers + 1, width
  std::vector<float> hidden_states{};  // [layers + 1, T, hidden] in transformers' order
  std::vector<std::int32_t> greedy{};  // prompt, then its greedy continuation
  int greedy_steps = 0;
  std::vector<float> greedy_logits{};  // [greedy_steps, vocab] from which each continuation token was taken

  int first_position() const { return static_cast<int>(tokens.size()) - rows; }
  int prompt_length() const { return static_cast<int>(greedy.size()) - greedy_steps; }
  std::span<const float> Logits(int row, int vocab) const { return Slice(logits, row, vocab); }
  std::span<const float> GreedyLogits(int step, int vocab) const { return Slice(greedy_logits, step, vocab); }
  std::span<const float> Hidden(int entry, int position) const {
    return Slice(hidden_states, entry * static_cast<int>(tokens.size()) + position, hidden);
  }

 private:
  static std::span<const float> Slice(const std::vector<float>& values, int row, int width) {
    return std::span(values).subspan(static_cast<std::size_t>(row) * static_cast<std::size_t>(width),
                                     static_cast<std::size_t>(width));
  }
};

// What the file alone does not say about a recording.
struct GoldenOptions {
  // What it was computed in. Unstated: the type its logits are stored in, or the 16-bit type which all of many float32
  // logits happen to be numbers of.
  std::optional<Precision> precision{};
  // Columns from here on are declared as padding: dropped, whatever they hold. 0: there is none.
  int vocab = 0;
};

struct GoldenTrace {
  std::string file{};
  int vocab = 0;
  Precision precision = Precision::kFp32;  // the recording's
  // Every row is a logarithm of probabilities (they sum to 1): logits minus one number of the row.
  bool log_probabilities = false;
  std::vector<GoldenSequence> sequences{};  // in the order of their numbers
};

// Adds what makes the probabilities of `row` sum to 1: log-softmax, in place.
void Normalise(std::span<double> row);

// Reads a goldens.safetensors (tensors tokens.i, logits.i, answer_mask.i, hidden.i, greedy.i, greedy_logits.i) or a
// *.logits.json ({"ids": [T], "logits": [R][vocab]}, R the last of the T positions). Throws InputError naming file and
// key when something is missing, misshapen, of another type, outside the vocabulary or not finite, or when there is no
// sequence.
GoldenTrace ReadGolden(const std::string& path, const GoldenOptions& options = {});

}  // namespace assay

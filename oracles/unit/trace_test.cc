// Recorded traces: what a good file gives, and one clear message for each way to be bad.
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/check.h"
#include "engine/testing/scratch_folder.h"
#include "oracles/golden/trace.h"

namespace assay {
namespace {

struct Tensor {
  std::vector<int> shape;
  std::variant<std::vector<std::int32_t>, std::vector<float>> values;
};
using Tensors = std::map<std::string, Tensor>;

std::string Safetensors(const Tensors& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const std::size_t begin = data.size();
    std::visit([&](const auto& v) { data.append(reinterpret_cast<const char*>(v.data()), v.size() * 4); },
               tensor.values);
    header[name] = {{"dtype", tensor.values.index() == 0 ? "I32" : "F32"},
                    {"shape", tensor.shape},
                    {"data_offsets", {begin, data.size()}}};
  }
  const std::string text = header.dump();
  const std::uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + text + data;
}

Tensors Good() {
  return {{"tokens.0", {{3}, std::vector<std::int32_t>{1, 2, 0}}},
          {"logits.0", {{2, 4}, std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7}}},
          {"answer_mask.0", {{3}, std::vector<std::int32_t>{0, 1, 0}}},
          {"hidden.0", {{2, 3, 1}, std::vector<float>{1, 2, 3, 4, 5, 6}}},
          {"greedy.0", {{3}, std::vector<std::int32_t>{1, 2, 3}}},
          {"greedy_logits.0", {{2, 4}, std::vector<float>(8, 0.5f)}},
          {"tokens.10", {{1}, std::vector<std::int32_t>{3}}},
          {"logits.10", {{1, 4}, std::vector<float>{9, 8, 7, 6}}},
          {"greedy.2", {{2}, std::vector<std::int32_t>{1, 2}}},
          {"greedy_logits.2", {{1, 4}, std::vector<float>(4, 0.5f)}}};
}

TEST(ReadGolden, GivesEveryPartInItsPlace) {
  const ScratchFolder folder;
  const GoldenTrace trace = ReadGolden(folder.Put("goldens.safetensors", Safetensors(Good())));
  ASSERT_EQ(trace.sequences.size(), 3u);
  EXPECT_EQ(trace.vocab, 4);
  const GoldenSequence& s = trace.sequences[0];
  EXPECT_EQ(s.tokens, (std::vector<std::int32_t>{1, 2, 0}));
  EXPECT_EQ(s.rows, 2);
  EXPECT_EQ(s.first_position(), 1);
  EXPECT_EQ(s.Logits(1, 4)[2], 6);
  EXPECT_EQ(s.answer, (std::vector<std::int32_t>{0, 1, 0}));
  EXPECT_EQ(s.hidden_entries, 2);
  EXPECT_EQ(s.Hidden(1, 2)[0], 6);
  EXPECT_EQ(s.prompt_length(), 1);
  EXPECT_EQ(s.GreedyLogits(1, 4)[0], 0.5f);
  EXPECT_EQ(trace.sequences[1].name, "2");
  EXPECT_EQ(trace.sequences[2].name, "10") << "ordered as numbers, not as text";
}

TEST(ReadGolden, LeavesPaddedColumnsOut) {
  const ScratchFolder folder;
  const Tensors tensors = {{"tokens.0", {{2}, std::vector<std::int32_t>{1, 2}}},
                           {"logits.0", {{2, 5}, std::vector<float>{0, 1, 2, -9, -9, 3, 4, 5, -9, -9}}},
                           {"greedy.0", {{3}, std::vector<std::int32_t>{1, 2, 0}}},
                           {"greedy_logits.0", {{2, 5}, std::vector<float>{6, 7, 8, -9, -9, 9, 10, 11, -9, -9}}}};
  const std::string logits = R"({"ids": [1, 0], "logits": [[0, 1, 2, -9, -9], [3, 4, 5, -9, -9]]})";
  for (const std::string& path :
       {folder.Put("goldens.safetensors", Safetensors(tensors)), folder.Put("x.logits.json", logits)}) {
    const GoldenTrace trace = ReadGolden(path, {.vocab = 3});
    EXPECT_EQ(trace.vocab, 3) << path;
    const GoldenSequence& s = trace.sequences[0];
    EXPECT_EQ(s.logits, (std::vector<float>{0, 1, 2, 3, 4, 5})) << path;
    const std::vector<float> greedy =
        s.greedy_steps > 0 ? std::vector<float>{6, 7, 8, 9, 10, 11} : std::vector<float>();
    EXPECT_EQ(s.greedy_logits, greedy) << path;
  }
}

// The message of reading what `change` makes of the good file; it must name the file and `key`.
void ExpectRefused(const std::string& key, const std::function<void(Tensors&)>& change) {
  const ScratchFolder folder;
  Tensors tensors = Good();
  change(tensors);
  const std::string path = folder.Put("goldens.safetensors", Safetensors(tensors));
  try {
    ReadGolden(path);
    ADD_FAILURE() << "accepted: " << key;
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(key), std::string::npos) << error.what();
  }
}

TEST(ReadGolden, RefusesBadFilesByKey) {
  ExpectRefused("tokens.0", [](Tensors& t) { t.erase("tokens.0"); });
  ExpectRefused("logits.10", [](Tensors& t) { t.erase("logits.10"); });
  ExpectRefused("greedy_logits.2", [](Tensors& t) { t.erase("greedy_logits.2"); });
  ExpectRefused("greedy.2", [](Tensors& t) { t.erase("greedy.2"); });
  ExpectRefused("tokens.0", [](Tensors& t) { t["tokens.0"] = {{3}, std::vector<float>{1, 2, 0}}; });
  ExpectRefused("logits.0", [](Tensors& t) { t["logits.0"] = {{8}, std::vector<float>(8)}; });
  ExpectRefused("logits.0", [](Tensors& t) { t["logits.0"] = {{4, 4}, std::vector<float>(16)}; });
  ExpectRefused("logits.10", [](Tensors& t) { t["logits.10"] = {{1, 5}, std::vector<float>(5)}; });
  ExpectRefused("logits.0", [](Tensors& t) {
    t["logits.0"] = {{2, 4}, std::vector<float>{0, 1, 2, 3, 4, 5, 6, std::numeric_limits<float>::quiet_NaN()}};
  });
  ExpectRefused("tokens.0", [](Tensors& t) { t["tokens.0"] = {{3}, std::vector<std::int32_t>{1, 4, 0}}; });
  ExpectRefused("tokens.0", [](Tensors& t) { t["tokens.0"] = {{3}, std::vector<std::int32_t>{1, -1, 0}}; });
  ExpectRefused("greedy.0", [](Tensors& t) { t["greedy.0"] = {{3}, std::vector<std::int32_t>{1, 2, 400}}; });
  ExpectRefused("answer_mask.0", [](Tensors& t) { t["answer_mask.0"] = {{2}, std::vector<std::int32_t>{0, 1}}; });
  ExpectRefused("hidden.0", [](Tensors& t) { t["hidden.0"] = {{2, 2, 1}, std::vector<float>(4)}; });
  ExpectRefused("greedy_logits.0", [](Tensors& t) { t["greedy_logits.0"] = {{3, 4}, std::vector<float>(12)}; });
  ExpectRefused("answers.0", [](Tensors& t) { t["answers.0"] = {{1}, std::vector<float>(1)}; });
  ExpectRefused("tokens", [](Tensors& t) { t["tokens"] = {{1}, std::vector<std::int32_t>(1)}; });
  ExpectRefused("tokens.00", [](Tensors& t) { t["tokens.00"] = {{1}, std::vector<std::int32_t>(1)}; });
  ExpectRefused("tokens.-1", [](Tensors& t) { t["tokens.-1"] = {{1}, std::vector<std::int32_t>(1)}; });
  ExpectRefused("no recorded sequence", [](Tensors& t) { t.clear(); });
  EXPECT_THROW(ReadGolden("/nowhere/goldens.safetensors"), InputError);
}

TEST(ReadGolden, ReadsLogitsJson) {
  const ScratchFolder folder;
  const GoldenTrace trace = ReadGolden(folder.Put("x.logits.json", R"({"ids": [1, 0], "logits": [[0.25, -1.5]]})"));
  EXPECT_EQ(trace.vocab, 2);
  EXPECT_EQ(trace.sequences[0].first_position(), 1);
  EXPECT_EQ(trace.sequences[0].Logits(0, 2)[1], -1.5f);
}

TEST(ReadGolden, WholeNumbersTellNoType) {
  const ScratchFolder folder;
  nlohmann::json whole = nlohmann::json::array(), halves = nlohmann::json::array();
  for (int i = 0; i < 100; ++i) whole.push_back(i), halves.push_back(i + 0.5);
  const auto precision = [&](const nlohmann::json& row) {
    const nlohmann::json recording = {{"ids", {1}}, {"logits", {row}}};
    return ReadGolden(folder.Put("x.logits.json", recording.dump())).precision;
  };
  EXPECT_EQ(precision(whole), Precision::kFp32);
  EXPECT_EQ(precision(halves), Precision::kBf16) << "of eight bits each";
}

TEST(ReadGolden, RowsAreLogProbabilitiesWhenEachOfThemSumsToOne) {
  const ScratchFolder folder;
  const auto read = [&](const std::string& first, const std::string& last) {
    const std::string text = R"({"ids": [1, 0], "logits": [[)" + first + "], [" + last + "]]}";
    return ReadGolden(folder.Put("x.logits.json", text)).log_probabilities;
  };
  const std::string even = "-0.693147, -0.693147", odd = "-1.386294, -0.287682", logits = "0.25, -1.5";
  EXPECT_TRUE(read(even, odd));
  EXPECT_FALSE(read(logits, even));
  EXPECT_FALSE(read(odd, logits));
}

TEST(ReadGolden, RefusesBadJson) {
  const ScratchFolder folder;
  for (const char* text :
       {"", "[]", "{", R"({"ids": [1]})", R"({"ids": [], "logits": [[1]]})", R"({"ids": [0], "logits": []})",
        R"({"ids": [0], "logits": [[1],[2]]})", R"({"ids": [0,0], "logits": [[1],[2,3]]})",
        R"({"ids": [1], "logits": [[1]]})", R"({"ids": [-1], "logits": [[1]]})", R"({"ids": [0.5], "logits": [[1]]})",
        R"({"ids": [0], "logits": [["a"]]})", R"({"ids": [0], "logits": [[1e300]]})",
        R"({"ids": [18446744073709551615], "logits": [[1]]})", R"({"ids": [0], "logits": [3]})"}) {
    const std::string path = folder.Put("x.logits.json", text);
    try {
      ReadGolden(path);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace assay

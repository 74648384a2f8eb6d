// The weights that tests run on decide: in 16-bit modes too, the argmax of nearly every row is a decision that a
// decoder can get wrong, not one that rounding is free to turn round.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/random.h"
#include "engine/model/presets.h"
#include "engine/weights/requantised.h"
#include "oracles/compare/ranking.h"
#include "oracles/golden/trace.h"
#include "suites/support/embedded.h"
#include "suites/support/workbench.h"

namespace assay {
namespace {

constexpr double kJudged = 0.9;
constexpr int kSessions = 4, kTokens = 40, kStream = 7000, kCalibrationStream = 8000;

std::vector<std::string> TinyPresets() {
  std::vector<std::string> names = PresetNames();
  std::erase_if(names, [](const std::string& name) { return !name.starts_with("tiny-"); });
  return names;
}

// As suites run them: those that are not quantised as they lie there in Q8_0 too.
std::vector<std::string> Models() {
  std::vector<std::string> names = TinyPresets();
  for (const EmbeddedModel& model : EmbeddedModels()) {
    names.push_back(model.name);
    if (!model.name.starts_with("gguf-tiny/")) names.push_back(model.name + "@q8_0");
  }
  return names;
}

// What 16-bit rows of a model with experts are judged by (suites/parity/experts.h): the twin's error under the
// reference's routing, for free routing is judged as the decision it is.
LogitTolerance UnderOneRouting(Workbench& bench, const Target& target) {
  const auto exact = bench.references().MakeDecoder(target),
             twin = bench.references().MakeDecoder(target, {.keep_hidden = false, .twin = target.precision});
  std::map<int, std::vector<std::size_t>> choice;  // of the token at hand, by layer
  exact->SetRouting(
      [&](int layer, std::span<const double>, std::vector<std::size_t>& chosen) { choice[layer] = chosen; });
  twin->SetRouting(
      [&](int layer, std::span<const double>, std::vector<std::size_t>& chosen) { chosen = choice.at(layer); });
  Calibrator calibrator;
  for (int s = 0; s < 32; ++s) {
    exact->Truncate(0);
    twin->Truncate(0);
    for (const std::int32_t token : RandomTokens(target.seed, kCalibrationStream + s, 32, bench.Spec(target).vocab)) {
      const std::vector<double> row = exact->Step(token).raw;
      calibrator.Add(row, twin->Step(token).raw);
    }
  }
  return LogitTolerance::From(calibrator.Finish("under the reference's routing"));
}

// Reference rows of a model, at the tokens of made-up sessions and of recorded sequences and texts (those of the model
// as stored where it is quantised here).
struct Asked {
  std::vector<std::vector<double>> made_up, recorded;
  std::vector<std::vector<double>> determined;  // the recorded ones whose next token follows from the text
};

Asked RowsOf(Workbench& bench, const std::string& model) {
  const Target target{model};
  const auto reference = bench.references().MakeDecoder(target);
  Asked rows;
  const auto feed = [&](std::span<const std::int32_t> tokens, int first, std::vector<std::vector<double>>& to) {
    reference->Truncate(0);
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (static_cast<int>(i) < first)
        reference->Skip(tokens[i]);
      else
        to.push_back(reference->Step(tokens[i]).raw);
  };
  for (int i = 0; i < kSessions; ++i)
    feed(RandomTokens(target.seed, kStream + i, kTokens, bench.Spec(target).vocab), 0, rows.made_up);
  const std::string goldens = GoldensOf(SplitQuantisedName(model).base);
  if (goldens.empty()) return rows;
  for (const GoldenSequence& s : ReadGolden(goldens).sequences) {
    if (!s.tokens.empty()) feed(s.tokens, s.first_position(), rows.recorded);
    for (int row = 0; row < s.rows; ++row) {
      const int next = s.first_position() + row + 1;
      if (next < std::ssize(s.answer) && s.answer[next] != 0)
        rows.determined.push_back(rows.recorded[rows.recorded.size() - (s.rows - row)]);
    }
    if (!s.greedy.empty()) feed(std::span(s.greedy).first(s.greedy.size() - 1), s.prompt_length() - 1, rows.recorded);
  }
  return rows;
}

double ShareJudged(const std::vector<std::vector<double>>& rows, const LogitTolerance& tolerance) {
  const auto judged = std::count_if(rows.begin(), rows.end(), [&](const auto& row) { return Decides(row, tolerance); });
  return static_cast<double>(judged) / static_cast<double>(rows.size());
}

class Decisive : public testing::TestWithParam<std::string> {};

// Trained models are undecided where their text is: one of 26 letters may come next. Where it is not, all rows are
// judged.
TEST_P(Decisive, SixteenBitsLeaveNearlyEveryArgmaxJudged) {
  Workbench bench;
  const Asked rows = RowsOf(bench, GetParam());
  for (const Precision precision : {Precision::kBf16, Precision::kFp16}) {
    SCOPED_TRACE(Name(precision));
    const Target target{GetParam(), Device::Host(), precision};
    const LogitTolerance tolerance =
        bench.references().Bounds(target) ? bench.references().Tolerance(target) : UnderOneRouting(bench, target);
    if (!rows.determined.empty()) {
      EXPECT_EQ(ShareJudged(rows.determined, tolerance), 1.0);
      continue;
    }
    EXPECT_GE(ShareJudged(rows.made_up, tolerance), kJudged);
    if (!rows.recorded.empty()) {
      EXPECT_GE(ShareJudged(rows.recorded, tolerance), kJudged);
    }
  }
}

std::string Label(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, Decisive, testing::ValuesIn(Models()), Label);

}  // namespace
}  // namespace assay

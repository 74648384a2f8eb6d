#include <algorithm>
#include <numeric>

#include "suites/parity/parity.h"

namespace assay {
namespace {

std::vector<int> PromptLengths(const ModelSpec& spec) {
  const int window = SmallestWindow(spec);
  const int base = window > 0 && window <= 64 ? window : 8;
  std::vector<int> lengths{1, 2, base - 1, base, base + 1, 2 * base + 3};
  std::erase(lengths, 0);
  return lengths;
}

StepResult Whole(CaseState& state, const Tokens& tokens, bool skip_tail, Want want) {
  EngineOptions options = StraightOptions(state.spec(), 1, static_cast<int>(tokens.size()));
  options.skip_tail = skip_tail;
  const auto system = state.Open(options);
  return system->Prefill(system->Open(), tokens, want);
}

void MatchesReference(CaseState& state) {
  LogitChecker checker(state);
  int stream = 0;
  const std::vector<int> lengths = PromptLengths(state.spec());
  checker.AtLeast(std::accumulate(lengths.begin(), lengths.end(), 0));
  for (const int length : lengths) {
    const Tokens tokens = state.MadeUp(stream++, length);
    const StepResult result = Whole(state, tokens, true, Want::kAll);
    for (int row = 0; row < result.rows(); ++row)
      checker.Add(result, row, tokens, {{"prompt", length}, {"position", row}});
  }
  checker.Finish();
}

void ChunkedEqualsWhole(CaseState& state) {
  RowAgreement same(state);
  const Tokens tokens = state.MadeUp(20, 2 * WindowWithin(state.spec(), 6, 64) + 5);
  const StepResult whole = Whole(state, tokens, true, Want::kAll);
  const auto system = state.Open(SmallOptions(state.spec(), 1, static_cast<int>(tokens.size())));
  const std::vector<int> chunks{1, 2, 3, 5, system->limits().max_chunk};
  const auto possible = std::ranges::count_if(chunks, [&](int c) { return c <= system->limits().max_chunk; });
  same.AtLeast(possible * std::ssize(tokens));
  for (const int chunk : chunks) {
    if (chunk > system->limits().max_chunk) continue;
    const SessionId session = system->Open();
    const StepResult chunked = system->Prefill(session, tokens, Want::kAll, chunk);
    system->Close(session);
    state.check.True(chunked.rows() == whole.rows(), "rows", {{"chunk", chunk}});
    for (int row = 0; row < std::min(whole.rows(), chunked.rows()); ++row)
      same.Check(whole.Raw(row), chunked.Raw(row), {{"chunk", chunk}, {"position", row}}, tokens, row);
  }
}

// Prompts in one step, long ones beside each other: those of more than eight rows share a launch of the packed kernel.
void PackedEqualsSerial(CaseState& state) {
  constexpr int kLengths[] = {3, 40, 17, 1, 33, 9};
  constexpr int kLongest = 40, kRows = 103, kAdjacent = 2;
  RowAgreement same(state);
  same.AtLeast(kRows);
  EngineOptions options = StraightOptions(state.spec(), static_cast<int>(std::size(kLengths)), kLongest + 8);
  options.max_rows = std::max(options.max_rows, kRows);
  const auto system = state.Open(options);
  std::vector<Tokens> prompts;
  std::vector<Feed> feeds;
  for (const int length : kLengths) prompts.push_back(state.MadeUp(30 + static_cast<int>(prompts.size()), length));
  for (const Tokens& prompt : prompts) feeds.push_back({system->Open(), prompt, Want::kAll});
  const StepResult packed = system->Step(feeds);
  std::vector<StepResult> serial;
  for (const Tokens& prompt : prompts) serial.push_back(Whole(state, prompt, true, Want::kAll));
  for (int row = 0; row < packed.rows(); ++row) {
    const int prompt = packed.feed[row], position = packed.position[row];
    same.Check(serial[prompt].Raw(position), packed.Raw(row), {{"prompt", prompt}, {"position", position}},
               prompts[prompt], position);
  }
  state.check.True(packed.rows() == kRows, "rows", "packed",
                   fmt::format("expected {} rows, found {}", kRows, packed.rows()));
  CheckPackedKernel(state, *system, kAdjacent, "prompts of more than 8 rows");
}

void SkippedTailEqualsFull(CaseState& state) {
  RowAgreement same(state);
  same.AtLeast(std::ssize(PromptLengths(state.spec())));
  state.check.AtLeast("ops left out", 1);
  for (const int length : PromptLengths(state.spec())) {
    const Tokens tokens = state.MadeUp(40 + length, length);
    const StepResult full = Whole(state, tokens, false, Want::kAll), skipped = Whole(state, tokens, true, Want::kLast);
    state.check.True(skipped.rows() == 1 && skipped.position[0] == length - 1, "rows", {{"prompt", length}});
    same.Check(full.Raw(length - 1), skipped.Raw(0), {"last", {{"prompt", length}}}, tokens, length - 1);
  }
  // Where layers behind the last cache writer are, a prompt of which nothing is wanted takes fewer ops.
  const auto calls = [&](bool skip_tail) {
    EngineOptions options = StraightOptions(state.spec(), 1, 8);
    options.skip_tail = skip_tail;
    const auto system = state.bench.OpenEngine(state.target, options);
    const bool tail = system->inside().kv_plan().first_tail_layer < state.spec().layer_count();
    const auto count = [&] { return system->ops().counters().calls + system->ops().counters().kernel_launches; };
    const std::int64_t before = count();
    system->OpenWith(state.MadeUp(39, 4));
    return std::pair(count() - before, tail);
  };
  const auto [all, tail] = calls(false);
  const auto [some, same_tail] = calls(true);
  state.check.True(tail ? some < all : some == all, "ops left out", {},
                   fmt::format("{} of {}, {} tail", all - some, all, tail ? "with a" : "without a"));
}

}  // namespace

std::vector<Case> PrefillCases(Workbench& bench, const Target& target) {
  std::vector<Case> cases;
  const auto add = [&](const char* name, std::vector<Capability> needs, void (*body)(CaseState&),
                       double tokens = Case().tokens) {
    cases.push_back(MakeCase("Prefill", name, target, {}, std::move(needs), body));
    cases.back().tokens = tokens;
  };
  using enum Capability;
  if (bench.references().Bounds(target)) add("MatchesReference", {kLogits}, MatchesReference, 2000);
  add("ChunkedEqualsWhole", {kLogits, kChunk}, ChunkedEqualsWhole);
  add("PackedEqualsSerial", {kLogits, kBatch}, PackedEqualsSerial);
  add("SkippedTailEqualsFull", {kInternals, kRawLogits}, SkippedTailEqualsFull);
  return cases;
}

}  // namespace assay

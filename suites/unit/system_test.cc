// Systems that can do less than the engine of this tree: what a case needs is stated, and what it does not state it
// does not use.
#include "suites/support/system.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/testing/complaint.h"
#include "suites/suites.h"
#include "suites/support/runner.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

using Missing = std::set<Capability>;

// An engine that refuses, loudly, what it is said to lack.
class LimitedSystem final : public SystemUnderTest {
 public:
  LimitedSystem(std::unique_ptr<SystemUnderTest> inner, Missing missing)
      : inner_(std::move(inner)), missing_(std::move(missing)) {}

  const EngineOptions& limits() const override { return inner_->limits(); }
  int vocab() const override { return inner_->vocab(); }
  SessionId Open() override { return inner_->Open(); }
  void Close(SessionId session) override { inner_->Close(session); }
  SessionId Fork(SessionId session) override {
    Need(Capability::kFork);
    return inner_->Fork(session);
  }
  Support CanTruncate(SessionId session, int length) const override {
    Need(Capability::kTruncate);
    return inner_->CanTruncate(session, length);
  }
  void Truncate(SessionId session, int length) override {
    Need(Capability::kTruncate);
    inner_->Truncate(session, length);
  }
  int Length(SessionId session) const override { return inner_->Length(session); }
  using SystemUnderTest::Step;
  StepResult Step(std::span<const Feed> feeds) override {
    if (feeds.size() > 1) Need(Capability::kBatch);
    for (const Feed& feed : feeds)
      if (feed.tokens.size() > 1 && Length(feed.session) > 0) Need(Capability::kChunk);
    const auto single = [&](const Feed& feed) { return feed.tokens.size() == 1 && Length(feed.session) > 0; };
    const auto singles = std::count_if(feeds.begin(), feeds.end(), single);
    if (singles > 0 && singles < std::ssize(feeds)) Need(Capability::kMixed);
    StepResult result = inner_->Step(feeds);
    const float none = std::numeric_limits<float>::quiet_NaN();
    if (missing_.contains(Capability::kRawLogits)) result.raw = result.capped;
    if (missing_.contains(Capability::kLogits))
      for (std::vector<float>* logits : {&result.raw, &result.capped}) std::fill(logits->begin(), logits->end(), none);
    return result;
  }
  std::vector<Tokens> Decode(std::span<const SessionId> sessions, std::span<const std::int32_t> first,
                             int steps) override {
    Need(Capability::kDecode);
    if (sessions.size() > 1) Need(Capability::kBatch);
    return inner_->Decode(sessions, first, steps);
  }
  EngineSystem* engine() override { return missing_.contains(Capability::kInternals) ? nullptr : inner_->engine(); }

 private:
  void Need(Capability capability) const {
    Require(!missing_.contains(capability), "{} was asked of a system that has none", Name(capability));
  }

  std::unique_ptr<SystemUnderTest> inner_;
  Missing missing_;
};

class LimitedProvider : public SystemProvider {
 public:
  explicit LimitedProvider(Missing missing) : missing_(std::move(missing)) {}
  SystemInfo Describe() const override {
    SystemInfo info;
    info.name = "another engine";
    return info;
  }
  Capabilities CapabilitiesOf(const Target&) const override {
    Capabilities capabilities;
    for (const Capability capability : missing_) capabilities.Lacks(capability, "it was left out");
    return capabilities;
  }
  std::unique_ptr<SystemUnderTest> Open(const WeightStore& store, const Target& target,
                                        const EngineOptions& options) override {
    EngineOptions pieces = options;
    if (missing_.contains(Capability::kChunk)) {
      pieces.max_chunk = options.capacity;
      pieces.max_rows = std::max(options.max_rows, options.capacity);
    }
    return std::make_unique<LimitedSystem>(engines_.Open(store, target, pieces), missing_);
  }

 private:
  EngineProvider engines_;
  Missing missing_;
};

// Every suite on models that run quickly: what needs a missing capability is skipped and says so, all else passes.
void ExpectSkippedExactlyWhereNeeded(Missing missing) {
  missing.insert(Capability::kInternals);  // a system that is not the engine of this tree has none of those
  Workbench bench(std::make_unique<LimitedProvider>(missing));
  CaseRunner runner(bench);
  int skipped = 0, passed = 0;
  for (const Case& item :
       ListCases(bench, {{"tiny-gemma4-ple", "hf-tiny/llama3"}, {Precision::kFp32}, {Device::Host()}})) {
    const CaseOutcome outcome = runner.Run(item);
    const auto need = std::find_if(item.needs.begin(), item.needs.end(),
                                   [&](Capability capability) { return missing.contains(capability); });
    if (need == item.needs.end()) {
      EXPECT_EQ(outcome.status, Status::kPass) << item.id() << ": " << outcome.reason;
      ++passed;
      continue;
    }
    EXPECT_EQ(outcome.status, Status::kSkip) << item.id() << ": " << outcome.reason;
    EXPECT_NE(outcome.reason.find(Name(*need)), std::string::npos) << item.id() << ": " << outcome.reason;
    EXPECT_NE(outcome.reason.find("it was left out"), std::string::npos) << item.id() << ": " << outcome.reason;
    ++skipped;
  }
  EXPECT_GT(skipped, 0);
  EXPECT_GT(passed, 0);
}

class WithoutOne : public testing::TestWithParam<Capability> {};
TEST_P(WithoutOne, CasesThatNeedItAreSkippedAndOthersRun) { ExpectSkippedExactlyWhereNeeded({GetParam()}); }
INSTANTIATE_TEST_SUITE_P(, WithoutOne,
                         testing::Values(Capability::kChunk, Capability::kBatch, Capability::kMixed, Capability::kFork,
                                         Capability::kTruncate, Capability::kDecode, Capability::kLogits,
                                         Capability::kRawLogits, Capability::kInternals),
                         [](const auto& tested) { return TestName(Name(tested.param)); });

TEST(WithoutSeveral, CasesThatNeedThemAreSkippedAndOthersRun) {
  using enum Capability;
  ExpectSkippedExactlyWhereNeeded({kFork, kTruncate, kDecode, kInternals});
}

TEST(Capabilities, AreThereUnlessNamedWithAReason) {
  using enum Capability;
  Capabilities capabilities;
  const std::vector<Capability> needs{kBatch, kFork, kTruncate};
  EXPECT_TRUE(capabilities.HasAll(needs));
  capabilities.Lacks(kTruncate, "caches only grow");
  EXPECT_TRUE(capabilities.Has(kFork));
  EXPECT_TRUE(capabilities.HasAll({}));
  const Support all = capabilities.HasAll(needs);
  EXPECT_FALSE(all);
  EXPECT_EQ(all.reason, "the system under test has no truncate: caches only grow");
}

TEST(AnotherSystem, ShowsNoInside) {
  Workbench bench(std::make_unique<LimitedProvider>(Missing{Capability::kInternals}));
  const Target target{"tiny-llama"};
  EXPECT_EQ(bench.Open(target, {.max_sessions = 1, .capacity = 4, .max_chunk = 2, .max_rows = 2})->engine(), nullptr);
  const std::string complaint = Complaint([&] { bench.MakeOps(target); });
  EXPECT_NE(complaint.find("another engine"), std::string::npos) << complaint;
}

// The default: pieces of at most a chunk, rows of the last, of all or of none.
TEST(Prefill, OfAnySystemIsThatOfItsSteps) {
  const Target target{"tiny-gemma4-ple"};
  const EngineOptions options{.max_sessions = 2, .capacity = 16, .max_chunk = 5, .max_rows = 8};
  Workbench bench, limited(std::make_unique<LimitedProvider>(Missing{Capability::kInternals}));
  const auto engine = bench.Open(target, options), other = limited.Open(target, options);
  const Tokens tokens = RandomTokens(0, 3, 12, engine->vocab());
  for (const Want want : {Want::kNone, Want::kLast, Want::kAll})
    for (const int chunk : {0, 1, 4, 12}) {
      const SessionId a = engine->Open(), b = other->Open();
      const StepResult expected = engine->Prefill(a, tokens, want, std::min(chunk, options.max_chunk)),
                       found = other->Prefill(b, tokens, want, std::min(chunk, options.max_chunk));
      EXPECT_EQ(expected.position, found.position);
      EXPECT_EQ(expected.best, found.best);
      EXPECT_EQ(expected.raw, found.raw);
      EXPECT_EQ(expected.capped, found.capped);
      EXPECT_EQ(other->Length(b), 12);
      engine->Close(a), other->Close(b);
    }
}

}  // namespace
}  // namespace assay

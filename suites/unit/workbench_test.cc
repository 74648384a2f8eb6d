// Who owns what a process holds, when it is freed, and that a planted fault reaches every engine.
#include "suites/support/workbench.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/base/random.h"
#include "engine/testing/complaint.h"
#include "engine/testing/scratch_folder.h"
#include "suites/support/embedded.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

using Log = std::vector<std::string>;

// Says when it comes and goes.
class Costly {
 public:
  Costly(Log& log, std::string name) : log_(log), name_(std::move(name)) { log_.push_back("+" + name_); }
  ~Costly() { log_.push_back("-" + name_); }

 private:
  Log& log_;
  std::string name_;
};

class SharedObject : public testing::Test {
 protected:
  Costly& Ask(const std::string& key) {
    return bench_.Shared<Costly>(key, [&] { return std::make_unique<Costly>(log_, key); });
  }
  // A maker that is refused memory.
  void Refused(const std::string& key) {
    bench_.Shared<Costly>(key, [&]() -> std::unique_ptr<Costly> {
      log_.push_back("!" + key);
      throw OutOfMemory("two sessions would fit", 9, 1);
    });
  }

  Log log_;  // outlives the workbench
  Workbench bench_;
  const Target target_{"tiny-llama"};
  const EngineOptions options_{.max_sessions = 1, .capacity = 4, .max_chunk = 2, .max_rows = 2};
};

TEST_F(SharedObject, IsMadeOnceForAKeyAndGoesBeforeAnotherIsMade) {
  EXPECT_EQ(&Ask("a"), &Ask("a"));
  Ask("b");
  Ask("a");
  EXPECT_EQ(log_, (Log{"+a", "-a", "+b", "-b", "+a"}));
}

TEST_F(SharedObject, GivesWayToWhateverNeedsTheDevice) {
  const std::vector<std::function<void()>> needs{
      [&] { bench_.Open(target_, options_); }, [&] { bench_.OpenEngine(target_, options_); },
      [&] { bench_.MakeOps(target_); }, [&] { bench_.ReleaseDevice(); }, [&] { bench_.Forget(); }};
  for (const auto& need : needs) {
    log_.clear();
    Ask("a");
    need();
    Ask("a");
    EXPECT_EQ(log_, (Log{"+a", "-a", "+a"}));
    bench_.ReleaseDevice();
  }
}

TEST_F(SharedObject, ThatDidNotFitIsNotTriedAgain) {
  for (int i = 0; i < 3; ++i) {
    try {
      Refused("a");
      ADD_FAILURE() << "a refusal was forgotten";
    } catch (const OutOfMemory& error) {
      EXPECT_STREQ(error.what(), "two sessions would fit");
      EXPECT_EQ(error.needed, 9u);
    }
    bench_.ReleaseDevice();  // what comes between cases of a group
  }
  EXPECT_EQ(log_, (Log{"!a"}));
  Ask("b");
  EXPECT_EQ(log_, (Log{"!a", "+b"})) << "another is not refused";
  bench_.Forget();
  EXPECT_THROW(Refused("a"), OutOfMemory);
  bench_.Forget();
  Ask("a");
  EXPECT_EQ(log_.back(), "+a") << "a refusal is forgotten with the models";
}

TEST_F(SharedObject, ThatFailedOtherwiseIsTriedAgain) {
  EXPECT_THROW(
      bench_.Shared<Costly>("a", []() -> std::unique_ptr<Costly> { throw std::runtime_error("a passing trouble"); }),
      std::runtime_error);
  Ask("a");
  EXPECT_EQ(log_, (Log{"+a"}));
}

TEST(Workbench, OpensAModelOnceUntilItForgets) {
  const ScratchFolder folder;
  const std::string model = folder.path() + "/mine";
  std::filesystem::copy(ResolveModel("hf-tiny/llama3"), model, std::filesystem::copy_options::recursive);
  Workbench bench;
  const WeightStore* first = &bench.Store(model, 0);
  EXPECT_NE(first, &bench.Store(model, 1)) << "of another seed";
  std::filesystem::remove_all(model);
  EXPECT_EQ(first, &bench.Store(model, 0));
  bench.ReleaseDevice();
  EXPECT_EQ(first, &bench.Store(model, 0));
  bench.Forget();
  EXPECT_THROW(bench.Store(model, 0), InputError) << "it is gone";
}

TEST(Workbench, KeepsAnswersWhenItReleasesTheDevice) {
  Workbench bench;
  const Target target{"tiny-llama"};
  const Tokens tokens = RandomTokens(0, 1, 4, bench.Spec(target).vocab);
  const ReferenceSession* rows = &bench.references().Rows(target, tokens);
  bench.ReleaseDevice();
  // Had they been forgotten, others would lie in their place now.
  bench.references().Rows(target, RandomTokens(0, 2, 4, bench.Spec(target).vocab));
  EXPECT_EQ(rows, &bench.references().Rows(target, tokens));
}

// One test's workbench holds nothing of another's: no statics.
TEST(Workbench, HasItsOwnStores) {
  Workbench one, other;
  EXPECT_NE(&one.Store("tiny-llama", 0), &other.Store("tiny-llama", 0));
}

TEST(Workbench, EveryEngineRunsOverDecoratedOps) {
  const Target target{"tiny-llama"};
  const EngineOptions options{.max_sessions = 1, .capacity = 4, .max_chunk = 2, .max_rows = 2};
  Workbench bench(Decorated<FaultyOps>(Fault::kScaleOff));
  const auto faulty = [](Ops& ops) { return dynamic_cast<FaultyOps*>(&ops) != nullptr; };
  EXPECT_TRUE(faulty(*bench.MakeOps(target)));
  EXPECT_TRUE(faulty(bench.OpenEngine(target, options)->ops()));
  const std::unique_ptr<SystemUnderTest> system = bench.Open(target, options);
  ASSERT_NE(system->engine(), nullptr);
  EXPECT_TRUE(faulty(system->engine()->ops()));
  // Over ops of the caller's: those, and nothing between.
  const std::unique_ptr<Ops> plain = Workbench().MakeOps(target);
  EXPECT_EQ(&bench.OpenEngine(target, options, *plain)->ops(), plain.get());
}

}  // namespace
}  // namespace assay

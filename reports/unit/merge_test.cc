// Merging shard files: sets that are sound, late results of nodes that were given up, and every way in which a set can
// be wrong, planted at random from a seed.
#include "reports/merge/merge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <random>

#include "reports/environment/begin.h"
#include "reports/format/check.h"
#include "reports/merge/shard.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

using Random = std::mt19937_64;
using Files = std::map<std::string, std::string>;  // name, text

std::size_t Below(Random& random, std::size_t limit) { return random() % limit; }

Plan SmallPlan(std::size_t groups, std::size_t cases) {
  Plan plan;
  plan.run_id = NewRunId();
  plan.nonce = "0011223344556677";
  plan.created = "2026-01-01T00:00:00.000Z";
  plan.argv = {"assay", "run"};
  plan.build.commit = "unknown";
  plan.build.build_id = "b1";
  plan.inputs.device = "cuda";
  plan.gpu = "h100";
  for (std::size_t g = 0; g < groups; ++g) {
    PlanGroup group{"nano", "cuda", 1, static_cast<double>(g), 60, {}};
    for (std::size_t c = 0; c < cases; ++c)
      group.cases.push_back(MakeCase("Case" + std::to_string(g * cases + c), Status::kPass).id());
    plan.groups.push_back(group);
  }
  plan.listed = static_cast<std::int64_t>(groups * cases);
  return plan;
}

std::vector<std::string> PopulationOf(const Plan& plan) {
  std::vector<std::string> ids;
  for (const PlanGroup& group : plan.groups) {
    ids.insert(ids.end(), group.cases.begin(), group.cases.end());
    ids.insert(ids.end(), group.rows.begin(), group.rows.end());
  }
  return ids;
}

// A run's leases and files, sound until something is done to them.
struct ShardSet {
  Plan plan;
  std::vector<std::string> population;
  std::vector<Lease> leases;
  Files files;

  MergeInput Input() const {
    MergeInput input{plan,
                     population,
                     leases,
                     {},
                     [this](const std::string& name) { return files.at(name); },
                     [](std::int64_t group, std::int64_t) { return "assay run --group " + std::to_string(group); }};
    for (const auto& [name, text] : files) input.files.push_back(name);
    return input;
  }
};

ShardBegin BeginOf(const Plan& plan, const Lease& lease) {
  ShardBegin begin{PlanHash(plan), plan.run_id,  plan.nonce, lease.group, lease.attempt,
                   lease.token,    plan.created, {},         {}};
  begin.environment.build = plan.build;
  begin.environment.host.name = "node" + std::to_string(lease.group);
  GpuInfo gpu;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.uuid = "GPU-" + std::to_string(lease.group);
  begin.environment.gpus = {gpu};
  return begin;
}

// Case `index` of group `group`, of a plan that SmallPlan made with groups of `per_group` cases.
ShardCase CaseAt(std::size_t group, std::size_t per_group, std::int64_t index) {
  ShardCase item;
  item.index = index;
  item.result = MakeCase("Case" + std::to_string(group * per_group + static_cast<std::size_t>(index)), Status::kPass);
  return item;
}

// A file's text; `indices` of the group's cases are in it.
std::string TextOf(const ShardBegin& begin, std::size_t per_group, const std::vector<std::int64_t>& indices) {
  ShardLines lines;
  std::string text = lines.Line(begin);
  for (const std::int64_t index : indices)
    text += lines.Line(CaseAt(static_cast<std::size_t>(begin.group), per_group, index));
  return text +
         lines.Line(ShardEnd{static_cast<std::int64_t>(indices.size()), "2026-01-01T00:01:00.000Z", 60, 1, 0, {}});
}

std::vector<std::int64_t> AllOf(const Plan& plan) {
  std::vector<std::int64_t> indices(plan.groups.front().cases.size());
  for (std::size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<std::int64_t>(i);
  return indices;
}

std::string NameOf(const Lease& lease) { return ShardFileName(lease.group, lease.attempt, lease.token); }

Lease LeaseAt(std::int64_t group, std::int64_t attempt) { return DerivedLease("test", group, attempt); }

std::string Sound(const ShardSet& set, const Lease& lease) {
  return TextOf(BeginOf(set.plan, lease), set.plan.groups.front().cases.size(), AllOf(set.plan));
}

ShardSet SoundSet(Random& random) {
  ShardSet set{SmallPlan(1 + Below(random, 4), 1 + Below(random, 4)), {}, {}, {}};
  set.population = PopulationOf(set.plan);
  std::shuffle(set.population.begin(), set.population.end(), random);
  for (std::size_t g = 0; g < set.plan.groups.size(); ++g) {
    const auto attempts = static_cast<std::int64_t>(1 + Below(random, 3) / 2);
    for (std::int64_t attempt = 1; attempt <= attempts; ++attempt)
      set.leases.push_back(LeaseAt(static_cast<std::int64_t>(g), attempt));
    set.files[NameOf(set.leases.back())] = Sound(set, set.leases.back());
  }
  return set;
}

// The newest lease of a group.
Lease LiveOf(const ShardSet& set, std::int64_t group) {
  Lease live;
  for (const Lease& lease : set.leases)
    if (lease.group == group) live = lease;
  return live;
}

// The results of nodes that were given up arrive after all: whole, cut, or empty behind their begin.
void AddZombies(Random& random, ShardSet* set) {
  for (const Lease& lease : set->leases) {
    if (lease.attempt == LiveOf(*set, lease.group).attempt || Below(random, 2) == 0) continue;
    std::string text = Sound(*set, lease);
    if (Below(random, 3) == 0) text.resize(text.find('\n') + 1 + Below(random, text.size() - text.find('\n') - 1));
    set->files[NameOf(lease)] = text;
  }
}

// Plants one fault into a sound set; false: this set cannot have it.
using Plant = bool (*)(Random& random, ShardSet* set, const Lease& victim);
struct FaultKind {
  MergeFault fault;
  Plant plant;
};

// A file under the victim's name whose begin differs by what `change` does.
template <class Change>
bool WithOtherBegin(ShardSet* set, const Lease& victim, Change change) {
  ShardBegin begin = BeginOf(set->plan, victim);
  change(begin);
  set->files[NameOf(victim)] = TextOf(begin, set->plan.groups.front().cases.size(), AllOf(set->plan));
  return true;
}

const std::vector<FaultKind> kFaultKinds = {
    {MergeFault::kLost,
     [](Random&, ShardSet* set, const Lease& victim) { return set->files.erase(NameOf(victim)) == 1; }},
    {MergeFault::kLost,  // given to a second node, which never answered; the first one's answer does not count
     [](Random&, ShardSet* set, const Lease& victim) {
       const auto at = std::find_if(set->leases.begin(), set->leases.end(), [&](const Lease& lease) {
         return lease.group == victim.group && lease.attempt == victim.attempt;
       });
       set->leases.insert(std::next(at), LeaseAt(victim.group, victim.attempt + 1));
       return true;
     }},
    {MergeFault::kLost,  // the group was never given to anyone
     [](Random&, ShardSet* set, const Lease& victim) {
       std::erase_if(set->leases, [&](const Lease& lease) {
         if (lease.group != victim.group) return false;
         set->files.erase(NameOf(lease));
         return true;
       });
       return true;
     }},
    {MergeFault::kDuplicated,
     [](Random&, ShardSet* set, const Lease& victim) {
       set->files["copy of " + NameOf(victim)] = set->files.at(NameOf(victim));
       return true;
     }},
    {MergeFault::kEmpty,
     [](Random&, ShardSet* set, const Lease& victim) {
       set->files[NameOf(victim)].clear();
       return true;
     }},
    {MergeFault::kTruncated,  // at any byte
     [](Random& random, ShardSet* set, const Lease& victim) {
       std::string& text = set->files[NameOf(victim)];
       text.resize(1 + Below(random, text.size() - 1));
       return true;
     }},
    {MergeFault::kEdited,  // one bit anywhere
     [](Random& random, ShardSet* set, const Lease& victim) {
       std::string& text = set->files[NameOf(victim)];
       text[Below(random, text.size())] ^= static_cast<char>(1 << Below(random, 8));
       return true;
     }},
    {MergeFault::kEdited,  // a line taken out, whatever the count says
     [](Random& random, ShardSet* set, const Lease& victim) {
       std::string& text = set->files[NameOf(victim)];
       const std::size_t lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
       std::size_t from = 0;
       for (std::size_t skip = Below(random, lines - 1); skip > 0; --skip) from = text.find('\n', from) + 1;
       text.erase(from, text.find('\n', from) + 1 - from);
       return true;
     }},
    {MergeFault::kForeign,
     [](Random&, ShardSet* set, const Lease& victim) {
       return WithOtherBegin(set, victim, [](ShardBegin& begin) { begin.run_id = NewRunId(); });
     }},
    {MergeFault::kStale,
     [](Random&, ShardSet* set, const Lease& victim) {
       return WithOtherBegin(set, victim, [](ShardBegin& begin) { begin.nonce = "8899aabbccddeeff"; });
     }},
    {MergeFault::kRecut,  // the same cases in another cut
     [](Random&, ShardSet* set, const Lease& victim) {
       Plan other = set->plan;
       other.groups.push_back(other.groups.back());
       return WithOtherBegin(set, victim, [&](ShardBegin& begin) { begin.plan_hash = PlanHash(other); });
     }},
    {MergeFault::kOtherBuild,
     [](Random&, ShardSet* set, const Lease& victim) {
       return WithOtherBegin(set, victim, [](ShardBegin& begin) { begin.environment.build.build_id = "b2"; });
     }},
    {MergeFault::kUnleased,
     [](Random&, ShardSet* set, const Lease& victim) {
       return WithOtherBegin(set, victim, [](ShardBegin& begin) { begin.token = "never given"; });
     }},
    {MergeFault::kWrongGpu,
     [](Random& random, ShardSet* set, const Lease& victim) {
       return WithOtherBegin(set, victim, [&](ShardBegin& begin) {
         if (Below(random, 2) == 0)
           begin.environment.gpus.clear();
         else
           begin.environment.gpus.front().name = "NVIDIA A100-SXM4-80GB";
       });
     }},
    {MergeFault::kMissingCase,  // and counted as if it had never been
     [](Random& random, ShardSet* set, const Lease& victim) {
       std::vector<std::int64_t> indices = AllOf(set->plan);
       indices.erase(indices.begin() + static_cast<std::ptrdiff_t>(Below(random, indices.size())));
       set->files[NameOf(victim)] = TextOf(BeginOf(set->plan, victim), set->plan.groups.front().cases.size(), indices);
       return true;
     }},
    {MergeFault::kDoubledCase,
     [](Random& random, ShardSet* set, const Lease& victim) {
       std::vector<std::int64_t> indices = AllOf(set->plan);
       indices.push_back(indices[Below(random, indices.size())]);
       set->files[NameOf(victim)] = TextOf(BeginOf(set->plan, victim), set->plan.groups.front().cases.size(), indices);
       return true;
     }},
    {MergeFault::kUnknownCase,
     [](Random&, ShardSet* set, const Lease& victim) {
       std::vector<std::int64_t> indices = AllOf(set->plan);
       indices.push_back(static_cast<std::int64_t>(indices.size()) * 8);
       set->files[NameOf(victim)] = TextOf(BeginOf(set->plan, victim), set->plan.groups.front().cases.size(), indices);
       return true;
     }},
    {MergeFault::kPopulation,  // half a plan: it agrees with itself and with its files
     [](Random& random, ShardSet* set, const Lease&) {
       if (Below(random, 2) == 0)
         set->population.push_back(MakeCase("Unplanned", Status::kPass).id());
       else
         set->population.pop_back();
       return true;
     }},
};

bool Found(const MergeResult& result, MergeFault fault) {
  return std::any_of(result.problems.begin(), result.problems.end(),
                     [&](const MergeProblem& problem) { return problem.fault == fault; });
}

std::string VerdictOf(const MergeResult& merged) { return merged.totals.tally.Summarise(merged.rest).verdict; }

// As it is written, in pieces.
std::string ReportTextOf(const MergeResult& merged) {
  std::string text;
  WriteReport(merged.rest, merged.totals, merged.cases, [&](std::string_view piece) { text += piece; });
  return text;
}

std::string Said(const Report& report) {
  std::string text;
  for (const std::string& problem : report.problems) text += problem + "\n";
  return text;
}

TEST(Merge, RefusesEveryFaultySetByName) {
  constexpr int kSets = 12000;
  Random random(20260101);
  std::map<MergeFault, int> planted;
  for (int i = 0; i < kSets; ++i) {
    const FaultKind& kind = kFaultKinds[static_cast<std::size_t>(i) % kFaultKinds.size()];
    ShardSet set = SoundSet(random);
    AddZombies(random, &set);
    const auto group = static_cast<std::int64_t>(Below(random, set.plan.groups.size()));
    ASSERT_TRUE(kind.plant(random, &set, LiveOf(set, group)));
    const MergeInput input = set.Input();
    const MergeResult result = Merge(input);
    ++planted[kind.fault];
    ASSERT_TRUE(Found(result, kind.fault))
        << "set " << i << ": planted " << Name(kind.fault) << ", said: " << Said(result.rest);
    ASSERT_FALSE(result.rest.complete);
    ASSERT_NE(VerdictOf(result), "PASS");
    // Nothing else is complained about: the file speaks for its group, soundly or not.
    const bool other_group = kind.fault == MergeFault::kPopulation;
    for (const MergeProblem& problem : result.problems)
      ASSERT_TRUE(problem.fault == kind.fault) << "set " << i << ": " << Said(result.rest);
    ASSERT_TRUE(other_group || result.problems.front().group == group) << Said(result.rest);
    if (i % 20 == 0) {
      ASSERT_EQ(ReportTextOf(result), ToJson(WholeReport(result)));
    }
  }
  EXPECT_EQ(planted.size(), 15u);
}

TEST(Merge, TakesSoundSetsAndNeverALateResult) {
  Random random(7);
  int late = 0;
  for (int i = 0; i < 2000; ++i) {
    ShardSet set = SoundSet(random);
    AddZombies(random, &set);
    late += static_cast<int>(set.files.size() - set.plan.groups.size());
    const MergeInput input = set.Input();
    const MergeResult result = Merge(input);
    ASSERT_TRUE(result.problems.empty()) << Said(result.rest);
    ASSERT_EQ(VerdictOf(result), "PASS");
    ASSERT_EQ(result.totals.tally.cases(), static_cast<std::int64_t>(set.population.size()));
    for (std::size_t g = 0; g < set.plan.groups.size(); ++g)
      for (const ShardAttempt& attempt : result.rest.distribution->groups[g].attempts) {
        const bool live = attempt.attempt == LiveOf(set, static_cast<std::int64_t>(g)).attempt;
        ASSERT_EQ(attempt.state, live ? "merged" : "superseded");
      }
  }
  EXPECT_GT(late, 500);
}

TEST(Merge, GivesTheSameBytesWhateverTheOrderOfFiles) {
  Random random(11);
  ShardSet set = SoundSet(random);
  while (set.files.size() < 3) set = SoundSet(random);
  AddZombies(random, &set);
  MergeInput input = set.Input();
  const std::string once = ReportTextOf(Merge(input));
  std::reverse(input.files.begin(), input.files.end());
  std::reverse(input.population.begin(), input.population.end());
  EXPECT_EQ(ReportTextOf(Merge(input)), once);
  EXPECT_EQ(ToJson(WholeReport(Merge(input))), once);
  EXPECT_EQ(ToJson(FromJson(once)), once);
  EXPECT_TRUE(SchemaProblems(once).empty()) << SchemaProblems(once).front();
  EXPECT_TRUE(ConsistencyProblems(once).empty()) << ConsistencyProblems(once).front();
}

// Every kind of case, bounds and reasons that groups share and do not, cases that were run out of order: one by one
// they give what they give together.
TEST(Merge, WritesInPiecesWhatIsWrittenAtOnce) {
  Random random(23);
  for (int i = 0; i < 50; ++i) {
    ShardSet set = SoundSet(random);
    set.files.clear();
    const std::size_t per_group = set.plan.groups.front().cases.size();
    for (std::size_t g = 0; g < set.plan.groups.size(); ++g) {
      const Lease live = LiveOf(set, static_cast<std::int64_t>(g));
      std::vector<std::int64_t> indices = AllOf(set.plan);
      std::shuffle(indices.begin(), indices.end(), random);
      ShardLines lines;
      std::string text = lines.Line(BeginOf(set.plan, live));
      for (const std::int64_t index : indices) {
        ShardCase item = CaseAt(g, per_group, index);
        const std::string name = item.result.name;
        const Status status = kStatuses[Below(random, std::size(kStatuses))];
        item.result = MakeCase(name, status == Status::kUnstable ? Status::kPass : status,
                               Below(random, 2) == 0 ? Verdict::kMatch : Verdict::kDrift);
        if (status == Status::kSkip) item.result.reason = "reason " + std::to_string(Below(random, 3));
        if (Below(random, 3) == 0) item.deaths = {"ended by SIGKILL"};
        for (Judgement& judgement : item.result.judgements)
          judgement.bound.from = judgement.bound.from.str() + std::to_string(Below(random, 4));
        text += lines.Line(item);
      }
      const auto count = static_cast<std::int64_t>(indices.size());
      set.files[NameOf(live)] = text + lines.Line(ShardEnd{count, "2026-01-01T00:01:00.000Z", 60, 1, 0, {}});
    }
    const MergeInput input = set.Input();
    const MergeResult merged = Merge(input);
    ASSERT_TRUE(merged.problems.empty()) << Said(merged.rest);
    const std::string text = ReportTextOf(merged);
    ASSERT_EQ(text, ToJson(WholeReport(merged)));
    ASSERT_TRUE(SchemaProblems(text).empty()) << SchemaProblems(text).front();
    ASSERT_TRUE(ConsistencyProblems(text).empty()) << ConsistencyProblems(text).front();
  }
}

// Two nodes time a row each in one mode, against limits of their own; the row of a third killed its workers.
TEST(Merge, CarriesWhatWasTimed) {
  ShardSet set{SmallPlan(3, 1), {}, {}, {}};
  const auto row_at = [](std::size_t group) {
    ReportBenchmark row = MakeRow();
    row.axes.Set("n", static_cast<std::int64_t>(group));
    row.covering_cases = {CaseAt(group, 1, 0).result.id()};
    return row;
  };
  for (std::size_t g = 0; g < 3; ++g) set.plan.groups[g].rows = {row_at(g).id()};
  set.population = PopulationOf(set.plan);
  for (std::size_t g = 0; g < 3; ++g) {
    set.leases.push_back(LeaseAt(static_cast<std::int64_t>(g), 1));
    ShardLines lines;
    std::string text = lines.Line(BeginOf(set.plan, set.leases[g]));
    text += lines.Line(CaseAt(g, 1, 0));
    ShardCase item{
        1,
        {},
        StandIn(row_at(g)),
        TimedRows{{row_at(g)}, HardwareLimits{"fp32", 1e12 * static_cast<double>(g + 1), 2e12, 6e14, "copy"}}};
    if (g == 2) {
      item.timed.reset();
      item.deaths = {"ended by SIGKILL", "ended by SIGKILL"};
      item.result.status = Status::kError;
      item.result.reason = "crash: its worker ended by SIGKILL, twice";
    }
    text += lines.Line(item);
    set.files[NameOf(set.leases[g])] = text + lines.Line(ShardEnd{2, "2026-01-01T00:01:00.000Z", 60, 1, 0, {}});
  }
  {
    const MergeInput input = set.Input();
    const MergeResult merged = Merge(input);
    ASSERT_TRUE(merged.problems.empty()) << Said(merged.rest);
    const std::string text = ReportTextOf(merged);
    EXPECT_TRUE(SchemaProblems(text).empty()) << SchemaProblems(text).front();
    EXPECT_TRUE(ConsistencyProblems(text).empty()) << ConsistencyProblems(text).front();
    const Report report = FromJson(text);
    EXPECT_EQ(report.kind, "bench");
    EXPECT_EQ(report.cases.size(), 3u);
    EXPECT_EQ(report.selected, 3);
    ASSERT_EQ(report.benchmarks.size(), 3u);
    ASSERT_EQ(report.limits.size(), 1u) << "those that the first group measured";
    for (std::size_t g = 0; g < 2; ++g) EXPECT_NEAR(report.benchmarks[g].floor_s, 4e9 / 1e12, 1e-6);
    EXPECT_EQ(report.benchmarks[2].status, Status::kError);
    EXPECT_EQ(report.benchmarks[2].id(), row_at(2).id());
    EXPECT_EQ(report.distribution->retried.size(), 1u);
    EXPECT_EQ(VerdictOf(merged), "FAIL");
  }
  // A row that is nowhere is missing as a case would be.
  set.population.push_back("bench.decode/unplanned");
  const MergeInput unplanned = set.Input();
  EXPECT_TRUE(Found(Merge(unplanned), MergeFault::kPopulation));
  set.population.pop_back();
  ShardLines lines;
  std::string text = lines.Line(BeginOf(set.plan, set.leases[1]));
  text += lines.Line(CaseAt(1, 1, 0));
  text += lines.Line(ShardEnd{1, "2026-01-01T00:01:00.000Z", 60, 1, 0, {}});
  set.files[NameOf(set.leases[1])] = text;
  const MergeInput missing = set.Input();
  const MergeResult merged = Merge(missing);
  ASSERT_EQ(merged.problems.size(), 1u) << Said(merged.rest);
  EXPECT_EQ(merged.problems.front().fault, MergeFault::kMissingCase);
  EXPECT_EQ(merged.problems.front().why, row_at(1).id());
}

TEST(Merge, RefusesAFileThatChangedAfterItWasChecked) {
  Random random(5);
  ShardSet set = SoundSet(random);
  const MergeInput input = set.Input();
  const MergeResult merged = Merge(input);
  set.files.begin()->second += "x";
  try {
    ReportTextOf(merged);
    FAIL();
  } catch (const ReportError& error) {
    EXPECT_NE(std::string(error.what()).find(set.files.begin()->first), std::string::npos) << error.what();
  }
}

TEST(Merge, OfARunWithoutACoordinatorTakesTheNewestAttempt) {
  ShardSet set{SmallPlan(2, 2), {}, {}, {}};
  set.population = PopulationOf(set.plan);
  const std::string hash = PlanHash(set.plan);
  for (const auto& [group, attempt] : std::vector<std::pair<int, int>>{{0, 1}, {1, 1}, {1, 2}}) {
    const Lease lease = DerivedLease(hash, group, attempt);
    set.files[NameOf(lease)] = Sound(set, lease);
  }
  MergeInput input = set.Input();
  input.leases.reset();
  EXPECT_TRUE(Merge(input).problems.empty());
  // A newest attempt that broke off is not stood in for by an older one.
  std::string& newest = set.files.rbegin()->second;
  newest.resize(newest.size() - 10);
  const MergeResult result = Merge(input);
  ASSERT_EQ(result.problems.size(), 1u) << Said(result.rest);
  EXPECT_EQ(result.problems.front().fault, MergeFault::kTruncated);
}

TEST(Merge, NamesGroupHostAttemptAndTheWayOut) {
  ShardSet set{SmallPlan(2, 2), {}, {LeaseAt(0, 1), LeaseAt(1, 1), LeaseAt(1, 2)}, {}};
  set.population = PopulationOf(set.plan);
  set.files[NameOf(set.leases[0])] = Sound(set, set.leases[0]);
  std::string& text = set.files[NameOf(set.leases[2])] = Sound(set, set.leases[2]);
  text.resize(text.size() - 1);
  const MergeInput input = set.Input();
  const std::string said = Said(Merge(input).rest);
  for (const char* part :
       {"truncated", "group 1 (nano on cuda, 2 cases)", "attempt 2", "host node1", "breaks off", "assay run --group 1"})
    EXPECT_NE(said.find(part), std::string::npos) << said;
}

TEST(Merge, KeepsWhatCouldBeMergedAndNeverPasses) {
  Random random(3);
  ShardSet set = SoundSet(random);
  while (set.plan.groups.size() < 2) set = SoundSet(random);
  set.files.erase(set.files.begin());
  const MergeInput input = set.Input();
  const Report report = WholeReport(Merge(input));
  EXPECT_EQ(Summarise(report).verdict, "INCOMPLETE");
  EXPECT_EQ(report.cases.size(), set.population.size() - set.plan.groups.front().cases.size());
  const std::string text = ToJson(report);
  EXPECT_TRUE(SchemaProblems(text).empty()) << SchemaProblems(text).front();
  EXPECT_TRUE(ConsistencyProblems(text).empty()) << ConsistencyProblems(text).front();
}

TEST(Plan, ReadsWhatItWroteAndRefusesWhatWasEdited) {
  Plan plan = SmallPlan(3, 2);
  plan.inputs.models = {"tiny-llama"};
  plan.inputs.timing = {{"decode"}, {"512"}, {1, 8}, {512}, 0.5};
  plan.groups[0].rows = {"bench.decode/tiny-llama/fp32/cuda/n=1/context=512"};
  plan.bundles = Bundled(plan.groups, 2);
  const std::string text = PlanText(plan);
  EXPECT_EQ(PlanText(PlanFrom(text)), text);
  EXPECT_EQ(PlanHash(PlanFrom(text)), PlanHash(plan));
  // Every byte counts.
  for (std::size_t at = 0; at + 1 < text.size(); ++at) {
    std::string other = text;
    other[at] ^= 1;
    EXPECT_THROW(PlanFrom(other), ReportError) << other.substr(at, 20);
  }
  std::string version = text;
  version.replace(version.find("\"2.0.0\""), 7, "\"3.0.0\"");
  EXPECT_THROW(PlanFrom(version), ReportVersionError);
}

TEST(Plan, BundlesAreEvenAndHoldEachGroupOnce) {
  const std::vector<PlanGroup> groups = SmallPlan(10, 1).groups;  // of 0 to 9 seconds
  const auto bundles = Bundled(groups, 3);
  std::vector<int> seen(groups.size());
  for (const auto& bundle : bundles) {
    double seconds = 0;
    for (const std::int64_t group : bundle) seconds += groups[group].seconds, ++seen[group];
    EXPECT_NEAR(seconds, 15, 1);
  }
  EXPECT_EQ(seen, std::vector<int>(groups.size(), 1));
  EXPECT_EQ(Bundled(groups, 99).size(), groups.size());
}

}  // namespace
TEST(Plan, AWorkerStaysWithItsModelWhileNothingMuchLongerIsLeft) {
  std::vector<PlanGroup> groups(4);
  for (PlanGroup& group : groups) group.model = "a";
  groups[0].seconds = 8, groups[1].seconds = 4, groups[2].seconds = 3, groups[3].seconds = 1;
  groups[1].model = "b", groups[3].model = "b";
  const std::vector<std::int64_t> all{0, 1, 2, 3}, some{2, 3};
  EXPECT_EQ(NextFor("", groups, all), 0u);
  EXPECT_EQ(NextFor("a", groups, all), 0u);
  EXPECT_EQ(NextFor("b", groups, all), 1u);
  EXPECT_EQ(NextFor("b", groups, some), 0u) << "a third of what is longest";
}

}  // namespace assay

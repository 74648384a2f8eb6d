#include "reports/merge/merge.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <functional>
#include <map>
#include <set>
#include <unordered_set>
#include <utility>

#include "reports/format/digest.h"
#include "reports/merge/shard.h"

namespace assay {
namespace {

constexpr std::array<std::string_view, 15> kNames = {
    "lost",        "duplicated", "empty",     "truncated",    "edited",       "foreign",      "stale",     "recut",
    "other_build", "unleased",   "wrong_gpu", "missing_case", "doubled_case", "unknown_case", "population"};

bool HoldsFolded(const std::string& text, const std::string& part) {
  const auto same = [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

// Seconds since the epoch of "2025-01-31T23:59:59.123Z"; 0 for other texts.
double SecondsOf(const std::string& time) {
  std::tm parts{};
  const char* const rest = ::strptime(time.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return 0;
  double fraction = 0;
  if (*rest == '.') fraction = std::strtod(rest, nullptr);
  return static_cast<double>(::timegm(&parts)) + fraction;
}

// The records of a group in the plan's order; none where there is no such record. What does not belong there, and what
// is missing, is said to `refuse`.
std::vector<std::optional<ShardCase>> InOrder(const PlanGroup& group, std::vector<ShardCase> cases,
                                              const std::function<void(MergeFault, const std::string& id)>& refuse) {
  std::vector<std::optional<ShardCase>> ordered(static_cast<std::size_t>(ItemsOf(group)));
  for (ShardCase& item : cases) {
    const std::string id = item.result.id();
    const auto index = static_cast<std::size_t>(item.index);
    if (item.index < 0 || index >= ordered.size() || ItemOf(group, item.index) != id)
      refuse(MergeFault::kUnknownCase, id);
    else if (ordered[index])
      refuse(MergeFault::kDoubledCase, id);
    else
      ordered[index] = std::move(item);
  }
  for (std::size_t i = 0; i < ordered.size(); ++i)
    if (!ordered[i]) refuse(MergeFault::kMissingCase, ItemOf(group, static_cast<std::int64_t>(i)));
  return ordered;
}

// A file that speaks for a group, as it was when it was checked.
struct MergedFile {
  std::int64_t group = 0;
  std::string name, sha256;
};

void TakeCases(const MergeInput& input, const MergedFile& file, const std::function<void(const ReportCase&)>& take) {
  const std::string text = input.read(file.name);
  if (Sha256(text) != file.sha256)
    throw ReportError(fmt::format("{}: changed while it was merged; merge again", file.name));
  std::vector<ShardCase> cases;
  ReadShard(text, [&](ShardCase item) { cases.push_back(std::move(item)); });
  const PlanGroup& group = input.plan.groups[static_cast<std::size_t>(file.group)];
  std::vector<std::optional<ShardCase>> ordered =
      InOrder(group, std::move(cases), [](MergeFault, const std::string&) {});
  ordered.resize(group.cases.size());  // without what is timed
  for (std::optional<ShardCase>& item : ordered)
    if (item) take(AsWritten(std::move(item->result)));
}

// A benchmark whose workers died has no row of its own.
std::vector<ReportBenchmark> RowsOf(const ShardCase& item) {
  if (item.timed) return item.timed->rows;
  ReportBenchmark row;
  row.name = item.result.name;
  row.axes = item.result.axes;
  row.status = item.result.status;
  row.reason = item.result.reason;
  return {row};
}

// Which lease may speak for each group, and which ones could once.
class Authority {
 public:
  explicit Authority(const MergeInput& input) : hash_(PlanHash(input.plan)) {
    if (input.leases) {
      for (const Lease& lease : *input.leases) {
        tokens_[{lease.group, lease.attempt}] = lease.token;
        Newest(lease.group, lease.attempt);
      }
      return;
    }
    derived_ = true;
    for (const std::string& file : input.files) {
      const ShardText shard = ReadHead(input, file);
      if (shard.begin && shard.begin->plan_hash == hash_ && Given(*shard.begin))
        Newest(shard.begin->group, shard.begin->attempt);
    }
  }

  const std::string& plan_hash() const { return hash_; }
  bool Given(const ShardBegin& begin) const {
    if (derived_) return begin.token == DerivedLease(hash_, begin.group, begin.attempt).token;
    const auto known = tokens_.find({begin.group, begin.attempt});
    return known != tokens_.end() && known->second == begin.token;
  }
  bool Live(const ShardBegin& begin) const { return newest_.at(begin.group) == begin.attempt; }
  // 0: the group was never given to anyone.
  std::int64_t NewestOf(std::int64_t group) const {
    const auto known = newest_.find(group);
    return known == newest_.end() ? 0 : known->second;
  }

 private:
  static ShardText ReadHead(const MergeInput& input, const std::string& file) {
    const std::string text = input.read(file);
    return ReadShard(std::string_view(text).substr(0, text.find('\n') + 1), [](ShardCase) {});
  }
  void Newest(std::int64_t group, std::int64_t attempt) {
    std::int64_t& newest = newest_[group];
    newest = std::max(newest, attempt);
  }

  const std::string hash_;
  bool derived_ = false;
  std::map<std::pair<std::int64_t, std::int64_t>, std::string> tokens_;
  std::map<std::int64_t, std::int64_t> newest_;
};

class Merger {
 public:
  explicit Merger(const MergeInput& input) : input_(input), plan_(input.plan), authority_(input) {
    groups_.resize(plan_.groups.size());
    record_.plan_hash = authority_.plan_hash();
    record_.nonce = plan_.nonce;
    for (const PlanGroup& group : plan_.groups)
      record_.groups.push_back({group.model, static_cast<std::int64_t>(group.cases.size()), {}});
  }

  MergeResult Merge() {
    Population();
    std::vector<std::string> files = input_.files;
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) Take(file);
    for (std::size_t i = 0; i < groups_.size(); ++i)
      if (!groups_[i].spoken_for) Problem({MergeFault::kLost, static_cast<std::int64_t>(i), authority_.NewestOf(i)});
    Report rest = Rest();
    CaseTotals totals;
    std::vector<MergedFile> merged;
    for (Group& group : groups_) {
      if (!group.merged) continue;
      totals.Add(group.totals);
      merged.push_back(std::move(group.file));
    }
    return {std::move(problems_), std::move(rest), std::move(totals),
            [&input = input_, files = std::move(merged)](const auto& take) {
              for (const MergedFile& file : files) TakeCases(input, file, take);
            }};
  }

 private:
  struct Group {
    bool spoken_for = false;  // by a file under its live lease, sound or not
    bool merged = false;
    MergedFile file;
    CaseTotals totals;
    std::vector<ReportBenchmark> rows;
    std::vector<HardwareLimits> limits;
    Environment environment;
    ShardEnd end;
  };

  void Problem(MergeProblem problem) { problems_.push_back(std::move(problem)); }

  // The union of the groups is what the build lists, each case once.
  void Population() {
    const std::unordered_set<std::string_view> listed(input_.population.begin(), input_.population.end());
    std::unordered_set<std::string_view> planned;
    std::vector<std::string> extra, twice;
    for (const PlanGroup& group : plan_.groups)
      for (std::int64_t i = 0; i < ItemsOf(group); ++i) {
        const std::string& id = ItemOf(group, i);
        if (!planned.insert(id).second) twice.push_back(id);
        if (!listed.contains(id)) extra.push_back(id);
      }
    std::vector<std::string> absent;
    for (const std::string& id : input_.population)
      if (!planned.contains(id)) absent.push_back(id);
    const auto complain = [&](const std::vector<std::string>& ids, const char* what) {
      if (ids.empty()) return;
      Problem(
          {MergeFault::kPopulation,
           {},
           0,
           "",
           "",
           fmt::format("{} case{} {}, the first is {}", ids.size(), ids.size() == 1 ? "" : "s", what, ids.front())});
    };
    complain(absent, "that the build lists are not in the plan");
    complain(extra, "of the plan are not listed by the build");
    complain(twice, "of the plan are planned twice");
  }

  void Take(const std::string& file) {
    const std::string text = input_.read(file);
    std::vector<ShardCase> cases;
    ShardText shard = ReadShard(text, [&](ShardCase item) { cases.push_back(std::move(item)); });
    MergeProblem problem{MergeFault::kEdited, {}, 0, "", file, shard.why};
    if (const auto named = ShardOfFileName(file)) std::tie(problem.group, problem.attempt) = *named;
    if (problem.group && !HasGroup(*problem.group)) problem.group.reset();
    if (shard.begin) Identify(*shard.begin, &problem);
    ShardAttempt attempt{problem.attempt, "refused", problem.host, "", file, Sha256(text), 0, 0};
    if (shard.begin && !shard.begin->environment.gpus.empty()) attempt.gpu = shard.begin->environment.gpus.front().uuid;
    if (shard.end) attempt.workers = shard.end->workers, attempt.leftovers = shard.end->leftovers;
    if (shard.begin && IsOurs(*shard.begin) && authority_.Given(*shard.begin) && !authority_.Live(*shard.begin)) {
      attempt.state = "superseded";
    } else if (Sound(shard, &problem)) {
      attempt.state = "merged";
      Keep({shard.begin->group, file, attempt.file_sha256}, std::move(*shard.begin), std::move(*shard.end),
           std::move(cases));
    } else {
      if (problem.group) groups_[static_cast<std::size_t>(*problem.group)].spoken_for = true;
      Problem(problem);
    }
    if (problem.group) record_.groups[static_cast<std::size_t>(*problem.group)].attempts.push_back(std::move(attempt));
  }

  bool HasGroup(std::int64_t group) const { return group >= 0 && group < static_cast<std::int64_t>(groups_.size()); }
  bool IsOurs(const ShardBegin& begin) const {
    return begin.run_id == plan_.run_id && begin.nonce == plan_.nonce && begin.plan_hash == authority_.plan_hash() &&
           HasGroup(begin.group);
  }
  void Identify(const ShardBegin& begin, MergeProblem* problem) const {
    problem->host = HostOf(begin);
    problem->attempt = begin.attempt;
    problem->group.reset();
    if (HasGroup(begin.group)) problem->group = begin.group;
  }

  // Whether the file may speak for its group; if not, `problem` says why.
  bool Sound(const ShardText& shard, MergeProblem* problem) {
    const auto refuse = [&](MergeFault fault, std::string why) {
      problem->fault = fault;
      problem->why = std::move(why);
      return false;
    };
    if (shard.damage == ShardDamage::kEmpty) return refuse(MergeFault::kEmpty, shard.why);
    if (shard.damage == ShardDamage::kEdited) return refuse(MergeFault::kEdited, shard.why);
    if (!shard.begin) return refuse(MergeFault::kTruncated, shard.why);
    const ShardBegin& begin = *shard.begin;
    if (begin.run_id != plan_.run_id)
      return refuse(MergeFault::kForeign, fmt::format("of run {}, not of {}", begin.run_id, plan_.run_id));
    if (begin.nonce != plan_.nonce)
      return refuse(MergeFault::kStale, fmt::format("of an earlier beginning {:.8} of this run", begin.nonce));
    if (begin.plan_hash != authority_.plan_hash() || !HasGroup(begin.group))
      return refuse(MergeFault::kRecut,
                    fmt::format("of plan {:.12}, not of {:.12}", begin.plan_hash, authority_.plan_hash()));
    if (!authority_.Given(begin))
      return refuse(MergeFault::kUnleased, fmt::format("its token {:.8} was never given", begin.token));
    if (shard.damage == ShardDamage::kTruncated) return refuse(MergeFault::kTruncated, shard.why);
    const BuildInfo& build = begin.environment.build;
    if (build.build_id != plan_.build.build_id)
      return refuse(MergeFault::kOtherBuild, fmt::format("written by build {:.12} of commit {:.12}, planned by {:.12}",
                                                         build.build_id, build.commit, plan_.build.build_id));
    if (const std::string why = WrongGpu(begin); !why.empty()) return refuse(MergeFault::kWrongGpu, why);
    if (groups_[static_cast<std::size_t>(begin.group)].merged)
      return refuse(MergeFault::kDuplicated, "another file holds the same lease");
    return true;
  }

  std::string WrongGpu(const ShardBegin& begin) const {
    if (plan_.gpu.empty() || plan_.groups[static_cast<std::size_t>(begin.group)].device == "host") return "";
    const std::vector<GpuInfo>& gpus = begin.environment.gpus;
    if (gpus.empty()) return fmt::format("on no GPU, the plan asks for '{}'", plan_.gpu);
    for (const GpuInfo& gpu : gpus)
      if (!HoldsFolded(gpu.name, plan_.gpu)) return fmt::format("on '{}', the plan asks for '{}'", gpu.name, plan_.gpu);
    return "";
  }

  void Keep(MergedFile file, ShardBegin begin, ShardEnd end, std::vector<ShardCase> cases) {
    Group& group = groups_[static_cast<std::size_t>(begin.group)];
    const auto refuse = [&](MergeFault fault, const std::string& id) {
      Problem({fault, begin.group, begin.attempt, HostOf(begin), "", id});
    };
    const PlanGroup& planned = plan_.groups[static_cast<std::size_t>(begin.group)];
    for (std::optional<ShardCase>& item : InOrder(planned, std::move(cases), refuse)) {
      if (!item) continue;
      if (!item->deaths.empty()) record_.retried.push_back({item->result.id(), std::move(item->deaths)});
      if (item->index < static_cast<std::int64_t>(planned.cases.size())) {
        group.totals.Add(AsWritten(std::move(item->result)));
        continue;
      }
      for (ReportBenchmark& row : RowsOf(*item)) group.rows.push_back(std::move(row));
      if (item->timed && item->timed->limits) group.limits.push_back(*item->timed->limits);
    }
    group.spoken_for = group.merged = true;
    group.file = std::move(file);
    group.environment = std::move(begin.environment);
    group.end = std::move(end);
  }

  // Devices of all groups, each once.
  void AddGpus(const Group& group, std::vector<GpuInfo>* gpus) {
    for (std::size_t i = 0; i < group.environment.gpus.size(); ++i) {
      GpuInfo gpu = group.environment.gpus[i];
      if (i < group.end.ecc_after.size()) gpu.ecc_after = group.end.ecc_after[i];
      const auto known = std::find_if(gpus->begin(), gpus->end(), [&](const GpuInfo& other) {
        return gpu.uuid.empty() ? other.bus_id == gpu.bus_id : other.uuid == gpu.uuid;
      });
      if (known == gpus->end())
        gpus->push_back(std::move(gpu));
      else if (gpu.ecc_after)
        known->ecc_after = gpu.ecc_after;
    }
  }

  // A report has one set of limits a mode, and its rows follow from them: those that the first group measured.
  static void AddRows(Group& group, Report* report) {
    for (const HardwareLimits& measured : group.limits)
      if (std::none_of(report->limits.begin(), report->limits.end(),
                       [&](const HardwareLimits& known) { return known.dtype == measured.dtype; }))
        report->limits.push_back(measured);
    for (ReportBenchmark& row : group.rows) {
      row.floor_s = FloorOf(row, report->limits);
      report->benchmarks.push_back(std::move(row));
    }
  }

  // The report without its cases, as it is written.
  Report Rest() {
    Report report;
    TakeFrom(plan_, &report);
    report.environment.build = plan_.build;
    bool first = true;
    std::vector<GpuInfo> gpus;
    for (Group& group : groups_) {
      if (!group.merged) continue;
      if (std::exchange(first, false)) report.environment = group.environment;
      AddGpus(group, &gpus);
      AddRows(group, &report);
      report.finished = std::max({report.finished, group.end.finished, report.started});
    }
    report.environment.gpus = std::move(gpus);
    report.duration_s = std::max(0.0, SecondsOf(report.finished) - SecondsOf(report.started));
    for (const MergeProblem& problem : problems_) report.problems.push_back(Describe(problem, input_));
    report.complete = problems_.empty();
    if (!report.complete) report.finished.clear();
    report.distribution = std::move(record_);
    return AsWritten(std::move(report));
  }

  const MergeInput& input_;
  const Plan& plan_;
  const Authority authority_;
  std::vector<Group> groups_;
  std::vector<MergeProblem> problems_;
  Distribution record_;
};

}  // namespace

std::string_view Name(MergeFault fault) { return kNames[static_cast<std::size_t>(fault)]; }

std::string Describe(const MergeProblem& problem, const MergeInput& input) {
  std::string text(Name(problem.fault));
  if (problem.group) {
    const PlanGroup& group = input.plan.groups[static_cast<std::size_t>(*problem.group)];
    text += fmt::format(": group {} ({} on {}, {} cases{})", *problem.group, group.model, group.device,
                        group.cases.size(), group.rows.empty() ? "" : fmt::format(", {} rows", group.rows.size()));
  }
  if (problem.attempt > 0) text += fmt::format("{} attempt {}", problem.group ? "," : ":", problem.attempt);
  if (!problem.host.empty()) text += " on host " + problem.host;
  if (!problem.file.empty()) text += (problem.group ? ", file " : ": file ") + problem.file;
  if (!problem.why.empty()) text += ": " + problem.why;
  if (problem.group && input.rerun_line) text += "; again with: " + input.rerun_line(*problem.group, problem.attempt);
  return text;
}

MergeResult Merge(const MergeInput& input) { return Merger(input).Merge(); }

Report WholeReport(const MergeResult& merged) {
  Report report = merged.rest;
  merged.cases([&](const ReportCase& item) { report.cases.push_back(item); });
  return report;
}

}  // namespace assay

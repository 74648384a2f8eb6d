// How planning, leasing, writing and merging grow: a plan of many groups on simulated workers, of which some are lost
// and answer late. Prints a line a phase: seconds, and the most memory that the process had held by then. Usage:
// assay_merge_at_scale [--groups N] [--cases N] [--workers N] [--loss FRACTION] [--seed N]
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <random>

#include "ci/spread/run_folder.h"
#include "reports/environment/begin.h"
#include "reports/environment/build.h"
#include "reports/format/writer.h"
#include "reports/merge/merge.h"
#include "reports/merge/shard.h"

namespace assay {
namespace {

using Clock = std::chrono::steady_clock;

struct Scale {
  std::int64_t groups = 10000, cases = 100, workers = 1000;
  double loss = 0.01;
  std::uint64_t seed = 1;
};

double Mebibytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

template <class Phase>
auto Timed(const char* name, Phase phase) {
  const Clock::time_point start = Clock::now();
  auto result = phase();
  fmt::print("{:<28} {:8.2f} s {:8.0f} MiB\n", name, std::chrono::duration<double>(Clock::now() - start).count(),
             Mebibytes());
  std::fflush(stdout);
  return result;
}

// As a parity case is: three judgements, one of them with a place.
ReportCase CaseAt(std::int64_t number) {
  ReportCase item;
  item.suite = "BatchedDecode";
  item.name = "MatchesSingleUser";
  item.axes =
      Axes({{"model", "model-" + std::to_string(number / 1000)}, {"dtype", "bf16"}, {"device", "host"}, {"n", number}});
  item.status = Status::kPass;
  item.duration_s = 0.25;
  for (const char* metric : {"max_abs_logit", "logit_bits", "greedy"}) {
    Judgement judgement =
        Judged(metric, 1e-5, Bound::Fixed(2e-4, "twin q999 x 2: bf16"), {{"session", 3}, {"step", 7}});
    judgement.comparisons = 64;
    item.judgements.push_back(judgement);
  }
  item.argmax = {64, 64};
  return item;
}

Plan PlanOf(const Scale& scale) {
  Plan plan;
  plan.run_id = NewRunId();
  plan.nonce = NewRunId();
  plan.created = Now();
  plan.argv = {"assay", "run"};
  plan.build = ThisBuild();
  plan.inputs.device = "host";
  plan.listed = scale.groups * scale.cases;
  for (std::int64_t g = 0; g < scale.groups; ++g) {
    PlanGroup group{"model", "host", 1 << 20, 1.0 + static_cast<double>(g % 7), 600, {}};
    for (std::int64_t c = 0; c < scale.cases; ++c) group.cases.push_back(CaseAt(g * scale.cases + c).id());
    plan.groups.push_back(std::move(group));
  }
  return plan;
}

std::int64_t Write(const RunFolder& folder, const std::string& hash, const Lease& lease, std::int64_t worker,
                   std::int64_t cases) {
  Environment environment;
  environment.build = folder.plan().build;
  environment.host.name = fmt::format("node{:04}", worker);
  ShardLines lines;
  std::string text = lines.Line(ShardBegin{hash,
                                           folder.plan().run_id,
                                           folder.plan().nonce,
                                           lease.group,
                                           lease.attempt,
                                           lease.token,
                                           Now(),
                                           environment,
                                           {}});
  for (std::int64_t c = 0; c < cases; ++c) text += lines.Line(ShardCase{c, {}, CaseAt(lease.group * cases + c)});
  text += lines.Line(ShardEnd{cases, Now(), 1, 1, 0, {}});
  std::ofstream(folder.shards() + "/" + ShardFileName(lease.group, lease.attempt, lease.token), std::ios::binary)
      << text;
  return static_cast<std::int64_t>(text.size());
}

int Simulate(const Scale& scale) {
  const std::string path = (std::filesystem::temp_directory_path() / ("assay-scale-" + NewRunId())).string();
  std::mt19937_64 random(scale.seed);
  const Plan plan = Timed("plan", [&] { return PlanOf(scale); });
  const std::string hash = Timed("its text and hash", [&] { return PlanHash(plan); });
  const RunFolder folder = Timed("written", [&] { return RunFolder::Make(path, plan); });
  LeaseBook book(folder.leases_file(), hash);
  std::vector<std::int64_t> all = LongestFirst(plan.groups);
  const std::vector<Lease> leases = Timed("leases", [&] { return book.Grant(all); });
  // A lost worker answers all the same, late: for its groups a second lease holds.
  std::vector<Lease> late;
  std::vector<std::int64_t> lost;
  for (const Lease& lease : leases)
    if (std::uniform_real_distribution<>(0, 1)(random) < scale.loss) late.push_back(lease), lost.push_back(lease.group);
  const std::vector<Lease> second = Timed("leases of lost nodes", [&] { return book.Grant(lost); });
  std::int64_t bytes = Timed("shard files", [&] {
    std::int64_t sum = 0;
    for (const auto* list : {&leases, &second})
      for (const Lease& lease : *list) sum += Write(folder, hash, lease, lease.group % scale.workers, scale.cases);
    return sum;
  });
  std::vector<std::string> population;
  for (const PlanGroup& group : plan.groups)
    population.insert(population.end(), group.cases.begin(), group.cases.end());
  const MergeInput input = MergeInputOf(plan, folder.plan_file(), path, std::move(population), "assay");
  const double before = Mebibytes();
  const MergeResult merged = Timed("merge", [&] { return Merge(input); });
  const std::int64_t size = Timed("report", [&] {
    std::int64_t written = 0;
    AtomicFile file(path + "/report.json");
    WriteReport(merged.rest, merged.totals, merged.cases, [&](std::string_view piece) {
      file.Write(piece);
      written += static_cast<std::int64_t>(piece.size());
    });
    file.Place();
    return written;
  });
  fmt::print(
      "{} records in {} files of {} MiB, a report of {} MiB; {} lost nodes' files superseded; {} problems; verdict {}; "
      "merge held {:.0f} "
      "MiB beside the {:.0f} MiB before it\n",
      plan.listed, input.files.size(), bytes >> 20, size >> 20, late.size(), merged.problems.size(),
      merged.totals.tally.Summarise(merged.rest).verdict, Mebibytes() - before, before);
  std::filesystem::remove_all(path);
  return merged.problems.empty() ? 0 : 1;
}

}  // namespace
}  // namespace assay

int main(int argc, char** argv) {
  assay::Scale scale;
  CLI::App app("how planning, leasing and merging grow");
  app.add_option("--groups", scale.groups)->check(CLI::PositiveNumber);
  app.add_option("--cases", scale.cases)->check(CLI::PositiveNumber);
  app.add_option("--workers", scale.workers)->check(CLI::PositiveNumber);
  app.add_option("--loss", scale.loss)->check(CLI::Range(0.0, 1.0));
  app.add_option("--seed", scale.seed);
  CLI11_PARSE(app, argc, argv);
  return assay::Simulate(scale);
}

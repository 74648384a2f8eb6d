#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "ci/spread/run_folder.h"
#include "ci/spread/shard_tail.h"

namespace assay {
namespace {

struct GroupProgress {
  std::string host;
  std::int64_t cases = 0, bad = 0;
  bool ended = false;
};

// Seconds since a file was written to; nothing when it is not there.
std::optional<double> Silence(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  return std::difftime(std::time(nullptr), info.st_mtime);
}

}  // namespace

int StatusCommand(const std::string& path) {
  const RunFolder folder = RunFolder::Open(path);
  const Plan& plan = folder.plan();
  const LeaseBook book(folder.leases_file(), PlanHash(plan));
  std::map<std::int64_t, GroupProgress> progress;
  ShardTail(folder).Poll(book, [&](const ShardNews& news) {
    GroupProgress& group = progress[news.group];
    if (!news.host.empty()) group.host = news.host;
    group.ended |= news.ended;
    if (!news.result) return;
    ++group.cases;
    group.bad += news.result->status == Status::kFail || news.result->status == Status::kError ? 1 : 0;
  });
  const std::map<std::int64_t, Lease> leases = NewestLeases(book);
  Table table(">><<><", {"group", "attempt", "model", "host", "cases", "state"});
  std::int64_t done = 0, all = 0, bad = 0, ended = 0;
  double left = 0;
  for (std::size_t i = 0; i < plan.groups.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    const GroupProgress group = progress[at];
    const auto lease = leases.find(at);
    std::string state = "waits";
    if (group.ended) {
      state = "done";
    } else if (lease != leases.end()) {
      const std::string file =
          folder.shards() + "/" + ShardFileName(at, lease->second.attempt, lease->second.token) + ".part";
      const std::optional<double> silence = Silence(file);
      state = silence ? fmt::format("runs, heard of {:.0f} s ago", *silence) : "given out";
    }
    if (!plan.groups[i].rows.empty()) state += ", times";
    if (group.bad > 0) state += fmt::format(", {} failed", group.bad);
    const std::int64_t planned = ItemsOf(plan.groups[i]);
    done += group.cases;
    all += planned;
    bad += group.bad;
    ended += group.ended ? 1 : 0;
    left += plan.groups[i].seconds * (1 - static_cast<double>(group.cases) / static_cast<double>(planned));
    table.Add({fmt::format("{}", at), lease == leases.end() ? "" : fmt::format("{}", lease->second.attempt),
               plan.groups[i].model, group.host, fmt::format("{}/{}", group.cases, planned), state});
  }
  table.Print(stdout);
  const std::int64_t rows = all - CasesOf(plan);
  Tell("{} of {} cases{}, {} of {} groups, {} failed, about {:.0f} s of work left\n", done, all,
       rows == 0 ? "" : fmt::format(" ({} of them rows that are timed)", rows), ended, plan.groups.size(), bad, left);
  return kExitPass;
}

}  // namespace assay

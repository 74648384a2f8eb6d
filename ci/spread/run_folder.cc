#include "ci/spread/run_folder.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "reports/environment/host.h"
#include "reports/format/writer.h"
#include "reports/merge/shard.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

}  // namespace

RunFolder RunFolder::Make(const std::string& path, const Plan& plan) {
  RunFolder folder(fs::absolute(path).lexically_normal().string(), plan);
  if (fs::exists(folder.plan_file()))
    throw ReportError(fmt::format("{}: holds a run already; --resume goes on with it", path));
  std::error_code error;
  for (const char* part : {"shards", "grants", "logs"}) {
    fs::create_directories(folder.path_ + "/" + part, error);
    if (error) throw ReportError(fmt::format("cannot make {}/{}: {}", path, part, error.message()));
  }
  WriteFileAtomically(folder.plan_file(), PlanText(plan));
  return folder;
}

RunFolder RunFolder::Open(const std::string& path) {
  const std::string whole = fs::absolute(path).lexically_normal().string();
  if (!fs::exists(whole + "/plan.json"))
    throw ReportError(fmt::format("{}: no folder of a run: it has no plan.json", path));
  return {whole, ReadPlan(whole + "/plan.json")};
}

CoordinatorLock::CoordinatorLock(const std::string& folder) {
  const std::string path = folder + "/coordinator";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) throw ReportError(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const std::string other = ReadFile(path);
    ::close(fd_);
    throw ReportError(fmt::format("{}: another coordinator drives this run: {}", folder, other));
  }
  const std::string self = fmt::format("process {} on host {}", ::getpid(), ThisHost().name);
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, self.data(), self.size(), 0) != static_cast<ssize_t>(self.size()))
    throw ReportError(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
}

CoordinatorLock::~CoordinatorLock() { ::close(fd_); }

std::vector<std::string> ShardFilesBelow(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error))
    if (at->is_regular_file() && at->path().extension() == ".jsonl")
      files.push_back(at->path().lexically_relative(folder).string());
  if (error) throw ReportError(fmt::format("cannot read {}: {}", folder, error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

std::map<std::int64_t, Lease> NewestLeases(const LeaseBook& book) {
  std::map<std::int64_t, Lease> newest;
  for (const Lease& lease : book.All()) newest[lease.group] = lease;
  return newest;
}

std::vector<std::int64_t> OpenGroups(const RunFolder& folder, const LeaseBook& book) {
  const std::map<std::int64_t, Lease> newest = NewestLeases(book);
  std::vector<std::int64_t> open = LongestFirst(folder.plan().groups);
  std::erase_if(open, [&](std::int64_t group) {
    const auto lease = newest.find(group);
    return lease != newest.end() &&
           fs::exists(folder.shards() + "/" + ShardFileName(group, lease->second.attempt, lease->second.token));
  });
  return open;
}

MergeInput MergeInputOf(const Plan& plan, const std::string& plan_file, const std::string& folder,
                        std::vector<std::string> population, const std::string& program) {
  MergeInput input{plan,
                   std::move(population),
                   std::nullopt,
                   ShardFilesBelow(folder),
                   [folder](const std::string& file) { return ReadFile(folder + "/" + file); },
                   nullptr};
  if (const std::string leases = folder + "/leases.db"; fs::exists(leases)) {
    input.leases = LeaseBook(leases, PlanHash(plan)).All();
    input.rerun_line = [=](std::int64_t group, std::int64_t) {
      return fmt::format("{} run --run {} --resume --group {}", program, folder, group);
    };
  } else {
    input.rerun_line = [=](std::int64_t group, std::int64_t attempt) {
      return fmt::format("{} run --executor files --plan {} --run {} --group {} --attempt {}", program, plan_file,
                         folder, group, attempt + 1);
    };
  }
  return input;
}

}  // namespace assay

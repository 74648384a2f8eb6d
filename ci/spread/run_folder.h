// The folder of a run that is spread over workers:
//   plan.json    what is to be done
//   leases.db    who may speak for which group
//   shards/      what was found, a file for each attempt at a group; *.part while it is written
//   grants/      leases for jobs of a scheduler, which wait for theirs
//   logs/        what workers and jobs printed
#pragma once

#include <map>
#include <string>
#include <vector>

#include "reports/merge/leases.h"
#include "reports/merge/merge.h"
#include "reports/merge/plan.h"

namespace assay {

class RunFolder {
 public:
  // Makes the folder for a new run. Throws ReportError when it holds one already, or cannot be written.
  static RunFolder Make(const std::string& path, const Plan& plan);
  // Opens that of a run that was begun. Throws ReportError.
  static RunFolder Open(const std::string& path);

  const std::string& path() const { return path_; }
  const Plan& plan() const { return plan_; }
  std::string plan_file() const { return path_ + "/plan.json"; }
  std::string leases_file() const { return path_ + "/leases.db"; }
  std::string shards() const { return path_ + "/shards"; }
  std::string grants() const { return path_ + "/grants"; }
  std::string log(const std::string& name) const { return path_ + "/logs/" + name; }

 private:
  RunFolder(std::string path, Plan plan) : path_(std::move(path)), plan_(std::move(plan)) {}
  std::string path_;
  Plan plan_;
};

// Held by the one coordinator of a run, until it ends. Throws ReportError that names the other one.
class CoordinatorLock {
 public:
  explicit CoordinatorLock(const std::string& folder);
  ~CoordinatorLock();
  CoordinatorLock(const CoordinatorLock&) = delete;
  CoordinatorLock& operator=(const CoordinatorLock&) = delete;

 private:
  int fd_ = -1;
};

// Shard files below a folder, at any depth: those of CI jobs arrive in folders of their own. Names are paths from it.
std::vector<std::string> ShardFilesBelow(const std::string& folder);

// The newest lease of each group that has one.
std::map<std::int64_t, Lease> NewestLeases(const LeaseBook& book);

// The groups without a shard file under their newest lease, the longest first. What is in the files is not looked at.
std::vector<std::int64_t> OpenGroups(const RunFolder& folder, const LeaseBook& book);

// A plan and the shard files below `folder`; leases where there is a database of them. `program` and the plan's file
// are words for a shell: of the command that runs a group again.
MergeInput MergeInputOf(const Plan& plan, const std::string& plan_file, const std::string& folder,
                        std::vector<std::string> population, const std::string& program);

}  // namespace assay

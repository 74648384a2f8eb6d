// Shard files as they grow: what becomes of a run whose workers are elsewhere.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "ci/spread/run_folder.h"
#include "reports/merge/shard.h"

namespace assay {

// One record of a shard file.
struct ShardNews {
  std::int64_t group = 0;
  std::string host;                  // of the file
  std::optional<ReportCase> result;  // absent: the group has begun, or ended
  bool ended = false;
};

class ShardTail {
 public:
  explicit ShardTail(const RunFolder& folder) : folder_(folder) {}

  // What was written since the last call under leases that hold. A case is told once, whoever ran it.
  void Poll(const LeaseBook& book, const std::function<void(const ShardNews&)>& tell);

 private:
  struct File {
    std::size_t read = 0;  // bytes
    std::string host;
  };
  void Read(const std::string& path, File* file, std::int64_t group, const std::function<void(const ShardNews&)>& tell);

  const RunFolder& folder_;
  std::map<std::string, File> files_;
  std::set<std::string> told_;  // ids
};

}  // namespace assay

// Who may speak for a group of a plan: the newest lease, and no older one. Kept in a database, so that a coordinator
// that was killed goes on where it stopped.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace SQLite {
class Database;
}

namespace assay {

struct Lease {
  std::int64_t group = 0, attempt = 0;  // attempts count from 1
  std::string token;
};

// The lease of a run that nobody coordinates: each job of a CI matrix knows its plan, group and attempt.
Lease DerivedLease(const std::string& plan_hash, std::int64_t group, std::int64_t attempt);

// A job of a scheduler, so that its end can be waited for by another coordinator.
struct ScheduledJob {
  std::string id;
  std::int64_t generation = 0;
};

class LeaseBook {
 public:
  // Opens or makes the database. Throws ReportError naming the path: it cannot be used, or is of another plan.
  LeaseBook(const std::string& path, const std::string& plan_hash);
  ~LeaseBook();
  LeaseBook(const LeaseBook&) = delete;
  LeaseBook& operator=(const LeaseBook&) = delete;

  // A new attempt at each group, with a fresh random token; what spoke for it before does no longer. All or none.
  std::vector<Lease> Grant(const std::vector<std::int64_t>& groups);
  std::vector<Lease> All() const;  // by group, then attempt

  void AddJob(const ScheduledJob& job);
  std::vector<ScheduledJob> Jobs() const;

 private:
  std::unique_ptr<SQLite::Database> database_;
  const std::string path_;
};

}  // namespace assay

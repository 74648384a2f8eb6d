#include "reports/merge/leases.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/core.h>

#include <random>

#include "reports/format/digest.h"
#include "reports/format/report.h"

namespace assay {
namespace {

constexpr int kBusyMilliseconds = 30000;

std::string RandomToken() {
  std::random_device source;
  std::string token;
  for (int i = 0; i < 4; ++i) token += fmt::format("{:08x}", source());
  return token;
}

// Every error of the database names its file.
template <class Action>
auto Guarded(const std::string& path, Action action) {
  try {
    return action();
  } catch (const SQLite::Exception& error) {
    throw ReportError(fmt::format("leases {}: {}", path, error.what()));
  }
}

}  // namespace

Lease DerivedLease(const std::string& plan_hash, std::int64_t group, std::int64_t attempt) {
  return {group, attempt, Sha256(fmt::format("lease {} {} {}", plan_hash, group, attempt)).substr(0, 32)};
}

LeaseBook::LeaseBook(const std::string& path, const std::string& plan_hash) : path_(path) {
  Guarded(path_, [&] {
    database_ =
        std::make_unique<SQLite::Database>(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMilliseconds);
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    database_->exec(
        "CREATE TABLE IF NOT EXISTS plan (hash TEXT NOT NULL);"
        "CREATE TABLE IF NOT EXISTS leases (grp INTEGER, attempt INTEGER, token TEXT NOT NULL UNIQUE,"
        "  PRIMARY KEY (grp, attempt));"
        "CREATE TABLE IF NOT EXISTS jobs (id TEXT PRIMARY KEY, generation INTEGER NOT NULL)");
    SQLite::Statement known(*database_, "SELECT hash FROM plan");
    if (known.executeStep()) {
      if (known.getColumn(0).getString() != plan_hash)
        throw ReportError(
            fmt::format("leases {}: of plan {:.12}, not of {:.12}", path, known.getColumn(0).getString(), plan_hash));
    } else {
      SQLite::Statement insert(*database_, "INSERT INTO plan VALUES (?)");
      insert.bind(1, plan_hash);
      insert.exec();
    }
    transaction.commit();
  });
}

LeaseBook::~LeaseBook() = default;

std::vector<Lease> LeaseBook::Grant(const std::vector<std::int64_t>& groups) {
  return Guarded(path_, [&] {
    std::vector<Lease> leases;
    SQLite::Transaction transaction(*database_, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement last(*database_, "SELECT COALESCE(MAX(attempt), 0) FROM leases WHERE grp = ?");
    SQLite::Statement insert(*database_, "INSERT INTO leases VALUES (?, ?, ?)");
    for (const std::int64_t group : groups) {
      last.reset();
      last.bind(1, group);
      last.executeStep();
      leases.push_back({group, last.getColumn(0).getInt64() + 1, RandomToken()});
      insert.reset();
      insert.bind(1, group);
      insert.bind(2, leases.back().attempt);
      insert.bind(3, leases.back().token);
      insert.exec();
    }
    last.reset();
    transaction.commit();
    return leases;
  });
}

std::vector<Lease> LeaseBook::All() const {
  return Guarded(path_, [&] {
    std::vector<Lease> leases;
    SQLite::Statement query(*database_, "SELECT grp, attempt, token FROM leases ORDER BY grp, attempt");
    while (query.executeStep())
      leases.push_back({query.getColumn(0).getInt64(), query.getColumn(1).getInt64(), query.getColumn(2).getString()});
    return leases;
  });
}

void LeaseBook::AddJob(const ScheduledJob& job) {
  Guarded(path_, [&] {
    SQLite::Statement insert(*database_, "INSERT OR REPLACE INTO jobs VALUES (?, ?)");
    insert.bind(1, job.id);
    insert.bind(2, job.generation);
    insert.exec();
  });
}

std::vector<ScheduledJob> LeaseBook::Jobs() const {
  return Guarded(path_, [&] {
    std::vector<ScheduledJob> jobs;
    SQLite::Statement query(*database_, "SELECT id, generation FROM jobs ORDER BY generation, id");
    while (query.executeStep()) jobs.push_back({query.getColumn(0).getString(), query.getColumn(1).getInt64()});
    return jobs;
  });
}

}  // namespace assay

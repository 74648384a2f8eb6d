#include "reports/store/history_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <SQLiteCpp/VariadicBind.h>
#include <fmt/core.h>
#include <sqlite3.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <unordered_map>
#include <utility>

#include "reports/environment/begin.h"
#include "reports/format/json.h"
#include "reports/trend/history.h"

namespace assay {
namespace {

constexpr int kApplication = 0x41535359;  // "ASSY": a database of somebody else's is not written to

// From each version of the schema to the next.
constexpr const char* kMigrations[] = {R"sql(
CREATE TABLE environments(id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, fields TEXT NOT NULL);
CREATE TABLE cells(id INTEGER PRIMARY KEY, cell TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, name TEXT NOT NULL,
                   axes TEXT NOT NULL, unit TEXT NOT NULL, better TEXT NOT NULL);
CREATE TABLE facts(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE runs(id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL UNIQUE, path TEXT NOT NULL, run TEXT NOT NULL,
                  kind TEXT NOT NULL, verdict TEXT NOT NULL, started TEXT NOT NULL, started_at REAL NOT NULL,
                  finished TEXT NOT NULL, duration_s REAL NOT NULL, complete INTEGER NOT NULL, "commit" TEXT NOT NULL,
                  dirty INTEGER NOT NULL, build TEXT NOT NULL, version TEXT NOT NULL, machine TEXT NOT NULL,
                  device TEXT NOT NULL, driver TEXT NOT NULL, command TEXT NOT NULL,
                  environment INTEGER NOT NULL REFERENCES environments, limits TEXT NOT NULL, added TEXT NOT NULL);
CREATE INDEX runs_by_start ON runs(started_at);
CREATE INDEX runs_by_run ON runs(run);
CREATE TABLE points(run INTEGER NOT NULL REFERENCES runs, cell INTEGER NOT NULL REFERENCES cells, status TEXT NOT NULL,
                    value REAL, low REAL, high REAL, samples INTEGER, p90 REAL, p99 REAL, verdict TEXT, headroom REAL,
                    fraction REAL, seconds REAL, clock_mhz REAL, facts INTEGER REFERENCES facts, note TEXT,
                    PRIMARY KEY(run, cell)) WITHOUT ROWID;
CREATE INDEX points_by_cell ON points(cell, run);
CREATE TRIGGER runs_stay BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'runs of a history are not changed'); END;
CREATE TRIGGER points_stay BEFORE UPDATE ON points BEGIN SELECT RAISE(ABORT, 'points of a history are not changed'); END;
CREATE VIEW history AS SELECT runs.started, runs.kind, runs."commit", runs.dirty, runs.machine, runs.device,
  environments.key, cells.cell, cells.unit, points.status, points.value, points.low, points.high, points.samples,
  points.p90, points.p99, points.verdict, points.headroom, points.fraction, points.seconds, points.clock_mhz,
  facts.text AS facts, points.note, runs.sha256, runs.path
  FROM points JOIN runs ON runs.id = points.run JOIN cells ON cells.id = points.cell
  JOIN environments ON environments.id = runs.environment LEFT JOIN facts ON facts.id = points.facts;
)sql"};
static_assert(std::size(kMigrations) == kHistoryVersion);

std::string Explained(const SQLite::Exception& error) {
  switch (error.getErrorCode()) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another program keeps it locked";
    case SQLITE_CORRUPT:
      return fmt::format("is damaged or was cut short ({}): make it again from the reports", error.getErrorStr());
    case SQLITE_NOTADB:
      return "is no database";
    default:
      return error.what();
  }
}

Json PairsJson(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Json json = Json::array();
  for (const auto& [name, value] : pairs) json.push_back({name, value});
  return json;
}

std::string Dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string FactsText(const HistoryPoint& point) {
  Json json = Json::object();
  for (const auto& [name, value] : point.facts) PutNumber(&json, name.c_str(), value, -1);
  if (!point.kernels.empty()) json["kernels"] = point.kernels;
  return json.empty() ? "" : Dumped(json);
}

void BindOptional(SQLite::Statement* statement, int at, const std::optional<double>& value) {
  if (value)
    statement->bind(at, *value);
  else
    statement->bind(at);
}
void BindText(SQLite::Statement* statement, int at, const std::string& text) {
  if (text.empty())
    statement->bind(at);
  else
    statement->bind(at, text);
}
std::optional<double> Optional(const SQLite::Column& column) {
  return column.isNull() ? std::nullopt : std::optional(column.getDouble());
}

}  // namespace

struct HistoryStore::Database {
  std::string path;
  Access access = Access::kRead;
  std::unique_ptr<SQLite::Database> sqlite;

  // Runs `work`; what SQLite throws says which file and why.
  template <class Work>
  auto Guarded(const Work& work) {
    try {
      return work();
    } catch (const SQLite::Exception& error) {
      throw ReportError(fmt::format("history {}: {}", path, Explained(error)));
    } catch (const Json::exception& error) {
      throw ReportError(fmt::format("history {}: is damaged: {}", path, error.what()));
    }
  }

  int Number(const std::string& query) { return sqlite->execAndGet(query).getInt(); }

  // SQLite does not wait by itself where waiting might never end, as when two processes turn to a write-ahead log at
  // once.
  void Open(int wait_ms) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
    for (;;) {
      try {
        return TryToOpen(wait_ms);
      } catch (const SQLite::Exception& error) {
        if (error.getErrorCode() != SQLITE_BUSY || std::chrono::steady_clock::now() > until) throw;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    }
  }

  void TryToOpen(int wait_ms) {
    const bool write = access == Access::kWrite;
    if (!write && !std::filesystem::exists(path))
      throw ReportError(fmt::format("history {}: does not exist; assay history add REPORT... makes it", path));
    if (const auto folder = std::filesystem::path(path).parent_path(); write && !folder.empty()) {
      std::error_code error;
      std::filesystem::create_directories(folder, error);
      if (error) throw ReportError(fmt::format("history {}: cannot make its folder: {}", path, error.message()));
    }
    sqlite = std::make_unique<SQLite::Database>(
        path, write ? SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE : SQLite::OPEN_READONLY, wait_ms);
    int version = 0, application = 0;
    bool empty = false;
    {  // One snapshot: another writer may be making the tables.
      const SQLite::Transaction snapshot(*sqlite);
      version = Number("PRAGMA user_version");
      application = Number("PRAGMA application_id");
      empty = Number("SELECT count(*) FROM sqlite_master") == 0;
    }
    if (empty ? version != 0 : application != kApplication)
      throw ReportError(fmt::format("history {}: a database of another program", path));
    if (version > kHistoryVersion)
      throw ReportError(fmt::format("history {}: is of version {}; this program knows versions up to {}", path, version,
                                    kHistoryVersion));
    if (empty && !write) throw ReportError(fmt::format("history {}: holds nothing yet", path));
    if (!write) return;
    if (sqlite->execAndGet("PRAGMA journal_mode=WAL").getString() != "wal")
      throw ReportError(fmt::format("history {}: its folder does not let it keep a write-ahead log", path));
    sqlite->exec("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON");
    Migrate();
  }

  // Another process may be about to do the same: who comes second finds nothing left to do.
  void Migrate() {
    if (Number("PRAGMA user_version") == kHistoryVersion) return;
    SQLite::Transaction transaction(*sqlite, SQLite::TransactionBehavior::IMMEDIATE);
    for (int version = Number("PRAGMA user_version"); version < kHistoryVersion; ++version)
      sqlite->exec(kMigrations[version]);
    sqlite->exec(fmt::format("PRAGMA application_id={}; PRAGMA user_version={}", kApplication, kHistoryVersion));
    transaction.commit();
  }

  SQLite::Statement& Prepared(const char* text) {
    auto& statement = statements_[text];
    if (!statement) statement = std::make_unique<SQLite::Statement>(*sqlite, text);
    statement->reset();
    statement->clearBindings();
    return *statement;
  }

  // The id of a row that is told by one text, which is added when it is not there.
  std::int64_t IdOf(const char* find, const char* add, const std::vector<std::string>& values) {
    SQLite::Statement& found = Prepared(find);
    found.bind(1, values.front());
    const bool known = found.executeStep();
    const std::int64_t id = known ? found.getColumn(0).getInt64() : 0;
    found.reset();  // one that stands at a row keeps others from the file
    if (known) return id;
    SQLite::Statement& added = Prepared(add);
    for (std::size_t i = 0; i < values.size(); ++i) added.bind(static_cast<int>(i) + 1, values[i]);
    added.exec();
    return sqlite->getLastInsertRowid();
  }

 private:
  std::unordered_map<const char*, std::unique_ptr<SQLite::Statement>> statements_;
};

std::string HistoryStore::DefaultPath() {
  const auto variable = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const std::string own = variable("ASSAY_HISTORY"); !own.empty()) return own;
  if (const std::string data = variable("XDG_DATA_HOME"); !data.empty()) return data + "/assay/history.db";
  if (const std::string home = variable("HOME"); !home.empty()) return home + "/.local/share/assay/history.db";
  throw ReportError("no history: neither --db nor ASSAY_HISTORY, XDG_DATA_HOME or HOME says where it is");
}

HistoryStore::HistoryStore(const std::string& path, Access access, int wait_ms)
    : database_(std::make_unique<Database>()) {
  database_->path = path;
  database_->access = access;
  database_->Guarded([&] { database_->Open(wait_ms); });
}

HistoryStore::~HistoryStore() = default;

bool HistoryStore::Add(const HistoryRun& run, const RunPoints& found) {
  Database& db = *database_;
  return db.Guarded([&] {
    SQLite::Transaction transaction(*db.sqlite, SQLite::TransactionBehavior::IMMEDIATE);
    SQLite::Statement& known = db.Prepared("SELECT 1 FROM runs WHERE sha256 = ?");
    known.bind(1, run.sha256);
    const bool is_known = known.executeStep();
    known.reset();
    if (is_known) return false;
    Json limits = Json::array();
    for (const HardwareLimits& item : run.limits) limits.push_back(LimitsJson(item));
    const std::int64_t environment =
        db.IdOf("SELECT id FROM environments WHERE key = ?", "INSERT INTO environments(key, fields) VALUES(?, ?)",
                {run.key, Dumped(PairsJson(run.key_fields))});
    SQLite::Statement& insert = db.Prepared(
        "INSERT INTO runs(sha256, path, run, kind, verdict, started, started_at, finished, duration_s, complete, "
        "\"commit\", dirty, build, version, machine, device, driver, command, environment, limits, added) "
        "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    SQLite::bind(insert, run.sha256, run.path, run.run_id, run.kind, run.verdict, run.started, run.started_at,
                 run.finished, run.duration_s, static_cast<int>(run.complete), run.commit, static_cast<int>(run.dirty),
                 run.build_id, run.version, run.machine, run.device, run.driver, run.command, environment,
                 Dumped(limits), Now());
    insert.exec();
    const std::int64_t run_id = db.sqlite->getLastInsertRowid();
    for (const HistoryPoint& point : found.points) {
      const HistoryCell& cell = found.cells.at(point.cell);
      const std::int64_t cell_id =
          db.IdOf("SELECT id FROM cells WHERE cell = ?",
                  "INSERT INTO cells(cell, kind, name, axes, unit, better) VALUES(?, ?, ?, ?, ?, ?)",
                  {cell.id, cell.kind, cell.name, Dumped(AxesJson(cell.axes)), cell.unit,
                   cell.higher_is_better ? "higher" : "lower"});
      const std::string facts = FactsText(point);
      SQLite::Statement& add = db.Prepared(
          "INSERT INTO points(run, cell, status, value, low, high, samples, p90, p99, verdict, headroom, fraction, "
          "seconds, clock_mhz, facts, note) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
      add.bind(1, run_id);
      add.bind(2, cell_id);
      add.bind(3, point.status);
      const std::optional<double>* numbers[] = {&point.value, &point.low, &point.high};
      for (int i = 0; i < 3; ++i) BindOptional(&add, 4 + i, *numbers[i]);
      if (point.samples > 0) add.bind(7, point.samples);
      BindOptional(&add, 8, point.p90);
      BindOptional(&add, 9, point.p99);
      BindText(&add, 10, point.verdict);
      BindOptional(&add, 11, point.headroom);
      BindOptional(&add, 12, point.fraction);
      BindOptional(&add, 13, point.seconds);
      BindOptional(&add, 14, point.clock_mhz);
      if (!facts.empty())
        add.bind(15, db.IdOf("SELECT id FROM facts WHERE text = ?", "INSERT INTO facts(text) VALUES(?)", {facts}));
      BindText(&add, 16, point.note);
      add.exec();
    }
    transaction.commit();
    return true;
  });
}

History HistoryStore::Read(const HistoryWindow& window) {
  Database& db = *database_;
  return db.Guarded([&] {
    // One state of the database for all queries, whatever is added meanwhile.
    SQLite::Transaction transaction(*db.sqlite);
    History history;
    std::unordered_map<std::int64_t, std::size_t> runs, cells;
    SQLite::Statement run_rows(
        *db.sqlite,
        "SELECT runs.id, sha256, path, run, kind, verdict, started, started_at, finished, duration_s, complete, "
        "\"commit\", dirty, build, version, machine, device, driver, command, limits, key, fields FROM runs JOIN "
        "environments ON environments.id = environment WHERE started_at BETWEEN ? AND ? AND runs.id = (SELECT max(id) "
        "FROM runs "
        "AS same WHERE same.run = runs.run) ORDER BY started_at, runs.id");
    run_rows.bind(1, window.since);
    run_rows.bind(2, window.until);
    while (run_rows.executeStep()) {
      int at = 0;
      const auto next = [&] { return run_rows.getColumn(at++); };
      runs.emplace(next().getInt64(), history.runs.size());
      HistoryRun run;
      for (std::string* text : {&run.sha256, &run.path, &run.run_id, &run.kind, &run.verdict, &run.started})
        *text = next().getString();
      run.started_at = next().getDouble();
      run.finished = next().getString();
      run.duration_s = next().getDouble();
      run.complete = next().getInt() != 0;
      run.commit = next().getString();
      run.dirty = next().getInt() != 0;
      for (std::string* text : {&run.build_id, &run.version, &run.machine, &run.device, &run.driver, &run.command})
        *text = next().getString();
      const Json limits = ParseText(next().getString());
      for (const Json& item : limits) run.limits.push_back(LimitsFrom(item));
      run.key = next().getString();
      const Json fields = ParseText(next().getString());
      for (const Json& item : fields) run.key_fields.emplace_back(item.at(0), item.at(1));
      history.runs.push_back(std::move(run));
    }
    if (!window.points) return history;
    SQLite::Statement cell_rows(*db.sqlite, "SELECT id, cell, kind, name, axes, unit, better FROM cells ORDER BY id");
    while (cell_rows.executeStep()) {
      cells.emplace(cell_rows.getColumn(0).getInt64(), history.cells.size());
      history.cells.push_back({cell_rows.getColumn(1), cell_rows.getColumn(2), cell_rows.getColumn(3),
                               AxesFrom(ParseText(cell_rows.getColumn(4).getString())), cell_rows.getColumn(5),
                               cell_rows.getColumn(6).getString() == "higher"});
    }
    std::unordered_map<std::int64_t, HistoryPoint> facts;
    SQLite::Statement fact_rows(*db.sqlite, "SELECT id, text FROM facts");
    while (fact_rows.executeStep()) {
      HistoryPoint& point = facts[fact_rows.getColumn(0).getInt64()];
      const Json told = ParseText(fact_rows.getColumn(1).getString());
      for (const auto& [name, value] : told.items())
        if (value.is_string())
          point.kernels = value;
        else if (value.is_number())
          point.facts[name] = value;
    }
    SQLite::Statement rows(
        *db.sqlite,
        "SELECT run, cell, status, value, low, high, samples, p90, p99, verdict, headroom, fraction, seconds, "
        "clock_mhz, facts, note FROM points WHERE run IN (SELECT id FROM runs WHERE started_at BETWEEN ? AND ?) ORDER "
        "BY run");
    rows.bind(1, window.since);
    rows.bind(2, window.until);
    while (rows.executeStep()) {
      const auto run = runs.find(rows.getColumn(0).getInt64());
      if (run == runs.end()) continue;  // an earlier report of the same run
      HistoryPoint point;
      if (const SQLite::Column column = rows.getColumn(14); !column.isNull()) point = facts.at(column.getInt64());
      point.run = run->second;
      point.cell = cells.at(rows.getColumn(1).getInt64());
      point.status = rows.getColumn(2).getString();
      point.value = Optional(rows.getColumn(3));
      point.low = Optional(rows.getColumn(4));
      point.high = Optional(rows.getColumn(5));
      point.samples = rows.getColumn(6).getInt64();
      point.p90 = Optional(rows.getColumn(7));
      point.p99 = Optional(rows.getColumn(8));
      point.verdict = rows.getColumn(9).getString();
      point.headroom = Optional(rows.getColumn(10));
      point.fraction = Optional(rows.getColumn(11));
      point.seconds = Optional(rows.getColumn(12));
      point.clock_mhz = Optional(rows.getColumn(13));
      point.note = rows.getColumn(15).getString();
      history.points.push_back(std::move(point));
    }
    std::stable_sort(history.points.begin(), history.points.end(),
                     [](const HistoryPoint& a, const HistoryPoint& b) { return a.run < b.run; });
    return history;
  });
}

HistorySize HistoryStore::Size() {
  Database& db = *database_;
  return db.Guarded([&] {
    const auto count = [&](const char* query) { return db.sqlite->execAndGet(query).getInt64(); };
    return HistorySize{count("SELECT count(*) FROM runs"), count("SELECT count(*) FROM cells"),
                       count("SELECT count(*) FROM points")};
  });
}

double HistoryStore::Newest() {
  Database& db = *database_;
  return db.Guarded([&] { return db.sqlite->execAndGet("SELECT coalesce(max(started_at), 0) FROM runs").getDouble(); });
}

std::int64_t HistoryStore::CountBefore(double before) {
  Database& db = *database_;
  return db.Guarded([&] {
    SQLite::Statement count(*db.sqlite, "SELECT count(*) FROM runs WHERE started_at < ?");
    count.bind(1, before);
    count.executeStep();
    return count.getColumn(0).getInt64();
  });
}

std::int64_t HistoryStore::Prune(double before) {
  Database& db = *database_;
  return db.Guarded([&] {
    SQLite::Transaction transaction(*db.sqlite, SQLite::TransactionBehavior::IMMEDIATE);
    const auto run = [&](const char* text) {
      SQLite::Statement statement(*db.sqlite, text);
      statement.bind(1, before);
      return statement.exec();
    };
    run("DELETE FROM points WHERE run IN (SELECT id FROM runs WHERE started_at < ?)");
    const int runs = run("DELETE FROM runs WHERE started_at < ?");
    db.sqlite->exec(
        "DELETE FROM cells WHERE id NOT IN (SELECT cell FROM points);"
        "DELETE FROM facts WHERE id NOT IN (SELECT facts FROM points WHERE facts IS NOT NULL);"
        "DELETE FROM environments WHERE id NOT IN (SELECT environment FROM runs)");
    transaction.commit();
    db.sqlite->exec("VACUUM");
    return std::int64_t{runs};
  });
}

}  // namespace assay

// The database of runs: what it keeps, that it keeps it once, and what it makes of files that are none of its own.
#include "reports/store/history_store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "reports/format/digest.h"
#include "reports/testing/made_history.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

namespace fs = std::filesystem;

class HistoryDatabase : public testing::Test {
 protected:
  HistoryDatabase() {
    folder_ = fs::path(testing::TempDir()) / fmt::format("history_database_{}", ::getpid());
    fs::create_directories(folder_);
    path_ = (folder_ / "history.db").string();
  }
  ~HistoryDatabase() override { fs::remove_all(folder_); }

  static bool Add(HistoryStore* store, const Report& report) {
    return store->Add(RunOf(report, Sha256(ToJson(report)), "night.json"), PointsOf(report));
  }
  HistoryStore Writable() { return {path_, HistoryStore::Access::kWrite}; }

  void ExpectRefused(const std::string& why, HistoryStore::Access access = HistoryStore::Access::kRead,
                     int wait_ms = 100) {
    try {
      HistoryStore(path_, access, wait_ms).Read();
      ADD_FAILURE() << "expected: " << why;
    } catch (const ReportError& error) {
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find(path_), std::string::npos) << error.what();
    }
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(HistoryDatabase, KeepsWhatARunFoundOnce) {
  const Report report = AsWritten(TimedSample());
  {
    HistoryStore store = Writable();
    EXPECT_TRUE(Add(&store, report));
    EXPECT_FALSE(Add(&store, report)) << "the same report again";
  }
  const History history = HistoryStore(path_, HistoryStore::Access::kRead).Read();
  ASSERT_EQ(history.runs.size(), 1u);
  const HistoryRun& run = history.runs[0];
  EXPECT_EQ(run.sha256, Sha256(ToJson(report)));
  EXPECT_EQ(run.key, ComparabilityKey(report.environment));
  EXPECT_EQ(run.key_fields, ComparabilityFields(report.environment));
  EXPECT_EQ(run.device, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(run.limits.size(), 1u);
  const RunPoints expected = PointsOf(report);
  ASSERT_EQ(history.points.size(), expected.points.size());
  for (const HistoryPoint& point : expected.points) {
    const HistoryCell& cell = expected.cells[point.cell];
    SCOPED_TRACE(cell.id);
    const auto found = std::find_if(history.points.begin(), history.points.end(),
                                    [&](const HistoryPoint& other) { return history.cells[other.cell].id == cell.id; });
    ASSERT_NE(found, history.points.end());
    EXPECT_EQ(history.cells[found->cell].axes, cell.axes);
    EXPECT_EQ(found->status, point.status);
    EXPECT_EQ(found->value, point.value);
    EXPECT_EQ(found->low, point.low);
    EXPECT_EQ(found->high, point.high);
    EXPECT_EQ(found->p99, point.p99);
    EXPECT_EQ(found->samples, point.samples);
    EXPECT_EQ(found->verdict, point.verdict);
    EXPECT_EQ(found->headroom, point.headroom);
    EXPECT_EQ(found->fraction, point.fraction);
    EXPECT_EQ(found->clock_mhz, point.clock_mhz);
    EXPECT_EQ(found->facts, point.facts);
    EXPECT_EQ(found->kernels, point.kernels);
    EXPECT_EQ(found->note, point.note);
  }
}

TEST_F(HistoryDatabase, ARowWithoutASpeedHasAReasonAndNoNumber) {
  const RunPoints found = PointsOf(TimedSample());
  const auto slowed = std::find_if(found.cells.begin(), found.cells.end(),
                                   [](const HistoryCell& cell) { return cell.name == "slowed"; });
  ASSERT_NE(slowed, found.cells.end());
  const HistoryPoint& point = found.points[static_cast<std::size_t>(slowed - found.cells.begin())];
  EXPECT_EQ(point.status, "unstable");
  EXPECT_EQ(point.note, "because");
  EXPECT_FALSE(point.value);
  EXPECT_TRUE(point.clock_mhz);
}

TEST_F(HistoryDatabase, TheLastReportOfARunSpeaks) {
  Report begun = TimedSample();
  begun.complete = false;
  begun.problems = {"ended early"};
  Report whole = begun;
  whole.complete = true;
  whole.problems.clear();
  HistoryStore store = Writable();
  EXPECT_TRUE(Add(&store, begun));
  EXPECT_TRUE(Add(&store, whole));
  const History history = store.Read();
  ASSERT_EQ(history.runs.size(), 1u);
  EXPECT_TRUE(history.runs[0].complete);
  EXPECT_EQ(history.points.size(), PointsOf(whole).points.size());
}

TEST_F(HistoryDatabase, NothingIsChanged) {
  {
    HistoryStore store = Writable();
    Add(&store, TimedSample());
  }
  SQLite::Database raw(path_, SQLite::OPEN_READWRITE);
  EXPECT_THROW(raw.exec("UPDATE points SET value = 1"), SQLite::Exception);
  EXPECT_THROW(raw.exec("UPDATE runs SET verdict = 'PASS'"), SQLite::Exception);
}

TEST_F(HistoryDatabase, PrunesOldRunsAndWhatOnlyTheyNeeded) {
  const MadeHistory made{.cells = 4, .nights = 4};
  HistoryStore store = Writable();
  for (int night = 0; night < 4; ++night) Add(&store, MadeBench(made, night));
  Add(&store, MadeParity(made, 0));
  const double before = SecondsOf("2026-11-26T00:00:00Z");
  EXPECT_EQ(store.CountBefore(before), 3);
  EXPECT_EQ(store.Prune(before), 3);
  const History history = store.Read();
  EXPECT_EQ(history.runs.size(), 2u);
  for (const HistoryCell& cell : history.cells) EXPECT_NE(cell.kind, "suite") << cell.id;
  EXPECT_EQ(store.Prune(before), 0);
}

TEST_F(HistoryDatabase, WindowsByStart) {
  const MadeHistory made{.cells = 2, .nights = 5};
  HistoryStore store = Writable();
  for (int night = 4; night >= 0; --night) Add(&store, MadeBench(made, night));
  EXPECT_EQ(store.Newest(), SecondsOf("2026-11-27T02:00:00.000Z"));
  const History history = store.Read({.since = SecondsOf("2026-11-25T00:00:00Z")});
  ASSERT_EQ(history.runs.size(), 3u);
  EXPECT_LT(history.runs[0].started_at, history.runs[2].started_at) << "by start, not by when they were added";
  for (const HistoryPoint& point : history.points) EXPECT_LT(point.run, 3u);
}

TEST_F(HistoryDatabase, TwoWritersAtOnce) {
  const MadeHistory made{.cells = 3, .nights = 20};
  std::vector<std::thread> writers;
  std::atomic<int> added = 0;
  for (int writer = 0; writer < 2; ++writer)
    writers.emplace_back([&] {
      HistoryStore store(path_, HistoryStore::Access::kWrite);
      for (int night = 0; night < made.nights; ++night) added += Add(&store, MadeBench(made, night));
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(added, made.nights) << "each of them once";
  EXPECT_EQ(HistoryStore(path_, HistoryStore::Access::kRead).Read().runs.size(), 20u);
}

// Adds the nights in a process that is killed after a while, until one gets through.
TEST_F(HistoryDatabase, KilledWritersLoseAndDoubleNothing) {
  const MadeHistory made{.cells = 20, .nights = 100};
  std::vector<Report> reports;
  for (int night = 0; night < made.nights; ++night) reports.push_back(MadeBench(made, night));
  int kills = 0;
  for (int wait_ms = 15;; wait_ms += 10) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      HistoryStore store(path_, HistoryStore::Access::kWrite);
      for (std::size_t i = 0; i < reports.size(); ++i) {
        Add(&store, reports[i]);
        const char done = static_cast<char>(i);
        if (::write(ends[1], &done, 1) != 1) ::_exit(2);
      }
      ::_exit(0);
    }
    ::close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    std::size_t told = 0;
    for (char one = 0; ::read(ends[0], &one, 1) == 1;) ++told;
    ::close(ends[0]);
    const bool whole = WIFEXITED(status);
    kills += !whole;
    if (told == 0) continue;
    const History history = HistoryStore(path_, HistoryStore::Access::kRead).Read();
    ASSERT_GE(history.runs.size(), told) << "lost what was said to be there";
    ASSERT_EQ(history.points.size() % history.runs.size(), 0u) << "a run in part";
    ASSERT_EQ(history.points.size() / history.runs.size(), PointsOf(reports[0]).points.size());
    if (!whole) continue;
    ASSERT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(history.runs.size(), reports.size());
    break;
  }
  fmt::print("{} writers were killed\n", kills);
  EXPECT_GT(kills, 0);
}

TEST_F(HistoryDatabase, RefusesWhatIsNotItsOwn) {
  ExpectRefused("does not exist");
  std::ofstream(path_) << "no database at all, and long enough to have a header: " << std::string(200, 'x');
  ExpectRefused("is no database");
  ExpectRefused("is no database", HistoryStore::Access::kWrite);
  fs::remove(path_);
  SQLite::Database(path_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec("CREATE TABLE somebody(x)");
  ExpectRefused("of another program");
  ExpectRefused("of another program", HistoryStore::Access::kWrite);
}

TEST_F(HistoryDatabase, RefusesANewerVersion) {
  Writable();
  SQLite::Database(path_, SQLite::OPEN_READWRITE).exec(fmt::format("PRAGMA user_version={}", kHistoryVersion + 1));
  ExpectRefused(
      fmt::format("is of version {}; this program knows versions up to {}", kHistoryVersion + 1, kHistoryVersion));
}

TEST_F(HistoryDatabase, NamesALock) {
  HistoryStore store = Writable();
  SQLite::Database other(path_, SQLite::OPEN_READWRITE);
  other.exec("BEGIN EXCLUSIVE");
  HistoryStore late(path_, HistoryStore::Access::kWrite, 50);
  try {
    Add(&late, TimedSample());
    FAIL();
  } catch (const ReportError& error) {
    EXPECT_NE(std::string(error.what()).find("another program keeps it locked"), std::string::npos) << error.what();
  }
  other.exec("ROLLBACK");
  EXPECT_TRUE(Add(&late, TimedSample()));
}

TEST_F(HistoryDatabase, NamesAFileThatWasCutShort) {
  {
    HistoryStore store = Writable();
    const MadeHistory made{.cells = 40, .nights = 10};
    for (int night = 0; night < made.nights; ++night) Add(&store, MadeBench(made, night));
  }
  const std::uintmax_t size = fs::file_size(path_);
  for (const std::uintmax_t left : {size / 2, size - 4096, std::uintmax_t{4096 + 100}, std::uintmax_t{50}}) {
    SCOPED_TRACE(left);
    fs::resize_file(path_, left);
    try {
      HistoryStore(path_, HistoryStore::Access::kRead).Read();
      ADD_FAILURE() << "a part was read for the whole";
    } catch (const ReportError& error) {
      EXPECT_NE(std::string(error.what()).find(path_), std::string::npos) << error.what();
    }
  }
}

TEST_F(HistoryDatabase, AnEmptyOneHoldsNothing) {
  std::ofstream(path_).flush();
  ExpectRefused("holds nothing yet");
  Writable();
  EXPECT_TRUE(HistoryStore(path_, HistoryStore::Access::kRead).Read().runs.empty());
  EXPECT_EQ(HistoryStore(path_, HistoryStore::Access::kRead).Newest(), 0);
}

TEST_F(HistoryDatabase, LiesWhereTheUserSays) {
  ::setenv("ASSAY_HISTORY", "/somewhere/own.db", 1);
  EXPECT_EQ(HistoryStore::DefaultPath(), "/somewhere/own.db");
  ::unsetenv("ASSAY_HISTORY");
  ::setenv("XDG_DATA_HOME", "/data", 1);
  EXPECT_EQ(HistoryStore::DefaultPath(), "/data/assay/history.db");
  ::unsetenv("XDG_DATA_HOME");
  ::setenv("HOME", "/home/somebody", 1);
  EXPECT_EQ(HistoryStore::DefaultPath(), "/home/somebody/.local/share/assay/history.db");
  ::unsetenv("HOME");
  EXPECT_THROW(HistoryStore::DefaultPath(), ReportError);
}

}  // namespace
}  // namespace assay

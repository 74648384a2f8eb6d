// The history on disk: an SQLite database to which runs are added and in which none is ever changed.
//
// One row of `points` a cell and run; `runs`, `cells`, `environments` (comparability keys with their fields) and
// `facts` (what hardly ever changes) say what its numbers mean, and the view `history` joins them. Everything follows
// from reports, so that a database can be made again from them. Several processes may read and write at once: a report
// is added in one transaction of a write-ahead log, and a writer waits for another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "reports/trend/history.h"

namespace assay {

inline constexpr int kHistoryVersion = 1;  // of the schema; PRAGMA user_version

// Which runs are read.
struct HistoryWindow {
  double since = 0, until = 1e18;  // seconds since 1970; runs that started before or after are left out
  bool points = true;              // false: runs alone
};

struct HistorySize {
  std::int64_t runs = 0, cells = 0, points = 0;
};

class HistoryStore {
 public:
  enum class Access { kRead, kWrite };

  // $ASSAY_HISTORY, or assay/history.db in $XDG_DATA_HOME or ~/.local/share. Throws ReportError where none is set.
  static std::string DefaultPath();

  // With kWrite the file and its folder are made when they are missing, and an older schema is migrated. Throws
  // ReportError naming the file: missing, no history, of a newer version, damaged, locked for longer than `wait_ms`.
  // So do all other members.
  HistoryStore(const std::string& path, Access access, int wait_ms = 10000);
  ~HistoryStore();
  HistoryStore(const HistoryStore&) = delete;
  HistoryStore& operator=(const HistoryStore&) = delete;

  // False when a report with this digest is there already; then nothing changes. When it returns, the run is on disk.
  bool Add(const HistoryRun& run, const RunPoints& found);

  // Of several reports of one run, which were written while it lasted, the last that was added speaks.
  History Read(const HistoryWindow& window = {});

  HistorySize Size();

  // When the newest run started, in seconds since 1970; 0 without runs.
  double Newest();

  // Runs that started before `before`, and what only they needed; how many.
  std::int64_t Prune(double before);
  // How many Prune would take.
  std::int64_t CountBefore(double before);

 private:
  struct Database;
  std::unique_ptr<Database> database_;
};

}  // namespace assay

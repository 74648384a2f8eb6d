// A shard file: what one attempt at one group of a plan found. JSON Lines: one `begin`, one `case` for each case of the
// group in the plan's order, one `end`. Each line is {"hash":H,"seq":N,"kind":...}; H is the SHA-256 of the line
// before's hash followed by everything behind this line's own, so that no byte can change and no line can go unseen.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reports/format/json.h"
#include "reports/format/report.h"
#include "reports/format/writer.h"

namespace assay {

struct ShardBegin {
  std::string plan_hash, run_id, nonce;
  std::int64_t group = 0, attempt = 0;
  std::string token;  // of the lease
  std::string started;
  Environment environment;                       // of the worker
  std::map<std::string, std::string> scheduler;  // its ids: job, task, restart, node
};

// The node, where a scheduler names it, else the host.
std::string HostOf(const ShardBegin& begin);

// What was timed of one benchmark, against what was measured of the device. No limits: the device is not there.
struct TimedRows {
  std::vector<ReportBenchmark> rows;
  std::optional<HardwareLimits> limits;
};
Json TimedJson(const TimedRows& timed);
TimedRows TimedFrom(const Json& json);

struct ShardCase {
  std::int64_t index = 0;            // within the group
  std::vector<std::string> deaths;   // of workers that ran it before it had an outcome
  ReportCase result;                 // of a benchmark: of suite "bench", with the worst status of its rows
  std::optional<TimedRows> timed{};  // of a benchmark whose worker lived
};
// How a benchmark without rows stands among the records of cases.
ReportCase StandIn(const ReportBenchmark& row);

struct ShardEnd {
  std::int64_t cases = 0;
  std::string finished;
  double duration_s = 0;
  std::int64_t workers = 0;          // processes started
  std::int64_t leftovers = 0;        // process groups that outlived their worker and were killed
  std::vector<EccCounts> ecc_after;  // of the GPUs of `begin` that count errors, in their order
};

// "group-00003.attempt-2.0123abcd.jsonl". Names are for people and messages; what counts is inside.
std::string ShardFileName(std::int64_t group, std::int64_t attempt, const std::string& token);
// Group and attempt of such a name; nothing for others.
std::optional<std::pair<std::int64_t, std::int64_t>> ShardOfFileName(const std::string& name);

// Chains lines. The first has nothing before it.
class ShardLines {
 public:
  std::string Line(const ShardBegin& begin);
  std::string Line(const ShardCase& item);
  std::string Line(const ShardEnd& end);

 private:
  std::string Chained(const char* kind, const Json& body);
  std::string hash_;
  std::int64_t seq_ = 0;
};

// Writes a shard file as it happens; it has its name once it is whole. Throws ReportError.
class ShardWriter {
 public:
  ShardWriter(const std::string& folder, const ShardBegin& begin);
  void Add(const ShardCase& item) { file_.Append(lines_.Line(item)); }
  void Close(const ShardEnd& end);

 private:
  ShardLines lines_;
  GrowingFile file_;
};

// What is wrong with a file in itself.
enum class ShardDamage { kNone, kEmpty, kTruncated, kEdited };

struct ShardText {
  ShardDamage damage = ShardDamage::kNone;
  std::string why;  // of the damage: "line 3: ..."
  std::optional<ShardBegin> begin;
  std::optional<ShardEnd> end;
};
// Reads a whole file, each case in turn; a damaged one as far as it holds.
ShardText ReadShard(std::string_view text, const std::function<void(ShardCase)>& on_case);

}  // namespace assay

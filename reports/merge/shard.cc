#include "reports/merge/shard.h"

#include <fmt/core.h>

#include <cstdio>
#include <initializer_list>
#include <utility>

#include "reports/format/digest.h"

namespace assay {
namespace {

constexpr std::string_view kHead = "{\"hash\":\"";
constexpr std::size_t kDigits = 64;
constexpr JsonLimits kLineLimits{.bytes = std::size_t{64} << 20};

// ASCII alone, so that a cut is never within a letter.
std::string Text(const Json& json) { return json.dump(-1, ' ', true, Json::error_handler_t::replace); }

Json BeginJson(const ShardBegin& begin) {
  return {{"plan", begin.plan_hash},     {"run", begin.run_id},
          {"nonce", begin.nonce},        {"group", begin.group},
          {"attempt", begin.attempt},    {"token", begin.token},
          {"started", begin.started},    {"environment", EnvironmentJson(begin.environment)},
          {"scheduler", begin.scheduler}};
}

Json EndJson(const ShardEnd& end) {
  Json ecc = Json::array();
  for (const EccCounts& counts : end.ecc_after) ecc.push_back({counts.corrected, counts.uncorrected});
  return {{"cases", end.cases},     {"finished", end.finished},   {"duration_s", Number(end.duration_s)},
          {"workers", end.workers}, {"leftovers", end.leftovers}, {"ecc_after", ecc}};
}

// Exactly these, behind hash, seq and kind.
void RequireKeys(const Json& json, std::initializer_list<std::string_view> keys) {
  auto key = keys.begin();
  std::size_t at = 0;
  for (const auto& item : json.items()) {
    if (at++ < 3) continue;
    if (key == keys.end() || item.key() != *key) throw ReportError("it has a member '" + item.key() + "'");
    ++key;
  }
  if (key != keys.end()) throw ReportError("it lacks the member '" + std::string(*key) + "'");
}

ShardBegin BeginFrom(const Json& json) {
  RequireKeys(json, {"plan", "run", "nonce", "group", "attempt", "token", "started", "environment", "scheduler"});
  return {json.at("plan"),
          json.at("run"),
          json.at("nonce"),
          json.at("group"),
          json.at("attempt"),
          json.at("token"),
          json.at("started"),
          EnvironmentFrom(json.at("environment")),
          json.at("scheduler").get<std::map<std::string, std::string>>()};
}

ShardCase CaseOf(const Json& json) {
  const bool timed = json.contains("timed");
  if (timed)
    RequireKeys(json, {"index", "deaths", "bounds", "case", "timed"});
  else
    RequireKeys(json, {"index", "deaths", "bounds", "case"});
  ShardCase item{json.at("index"), json.at("deaths").get<std::vector<std::string>>(), CaseRecordFrom(json)};
  if (timed) item.timed = TimedFrom(json.at("timed"));
  return item;
}

ShardEnd EndFrom(const Json& json) {
  RequireKeys(json, {"cases", "finished", "duration_s", "workers", "leftovers", "ecc_after"});
  ShardEnd end{json.at("cases"),   json.at("finished"),  json.at("duration_s"),
               json.at("workers"), json.at("leftovers"), {}};
  for (const Json& counts : json.at("ecc_after")) end.ecc_after.push_back({counts.at(0), counts.at(1)});
  return end;
}

// A text that breaks off is no JSON at its end; one that was changed is none before.
bool BreaksOff(std::string_view line) {
  try {
    ParseJson<Json>(line, kLineLimits);
    return true;  // but for the end of its line
  } catch (const JsonError& error) {
    return error.breaks_off();
  }
}

class Reader {
 public:
  Reader(std::string_view text, const std::function<void(ShardCase)>& on_case) : text_(text), on_case_(on_case) {}

  ShardText Read() {
    if (text_.empty()) return Damaged(ShardDamage::kEmpty, "it has 0 bytes");
    while (!text_.empty()) {
      const std::size_t newline = text_.find('\n');
      ++line_;
      if (newline == std::string_view::npos && BreaksOff(text_))
        return Damaged(ShardDamage::kTruncated, fmt::format("line {} breaks off", line_));
      if (newline == std::string_view::npos) return Edited("it is no JSON");
      if (const std::string problem = Take(text_.substr(0, newline)); !problem.empty()) return Edited(problem);
      text_.remove_prefix(newline + 1);
    }
    if (!result_.end) return Damaged(ShardDamage::kTruncated, fmt::format("no end record after line {}", line_));
    return std::move(result_);
  }

 private:
  ShardText Damaged(ShardDamage damage, std::string why) {
    result_.damage = damage;
    result_.why = std::move(why);
    return std::move(result_);
  }
  ShardText Edited(const std::string& problem) {
    return Damaged(ShardDamage::kEdited, fmt::format("line {}: {}", line_, problem));
  }

  // What is wrong with the line; empty: nothing.
  std::string Take(std::string_view line) {
    if (line.substr(0, kHead.size()) != kHead || line.size() < kHead.size() + kDigits) return "it begins with no hash";
    const std::string_view rest = line.substr(kHead.size() + kDigits);
    const std::string hash = Sha256(hash_ + std::string(rest));
    if (line.substr(kHead.size(), kDigits) != hash) return "its hash does not follow from its text and the line before";
    hash_ = hash;
    try {
      return TakeRecord(ParseJson<Json>(line, kLineLimits));
    } catch (const JsonError& error) {
      return error.what();
    } catch (const Json::exception& error) {
      return error.what();
    } catch (const ReportError& error) {
      return error.what();
    }
  }

  std::string TakeRecord(const Json& json) {
    if (json.at("seq") != line_ - 1) return fmt::format("seq is {}, expected {}", Text(json.at("seq")), line_ - 1);
    if (result_.end) return "there is a record after the end";
    const std::string kind = json.at("kind");
    if ((kind == "begin") != (line_ == 1)) return "'begin' is the first record, and no other";
    if (kind == "begin") {
      result_.begin = BeginFrom(json);
    } else if (kind == "case") {
      ++cases_;
      on_case_(CaseOf(json));
    } else if (kind == "end") {
      result_.end = EndFrom(json);
      if (result_.end->cases != cases_) return fmt::format("it counts {} cases of {}", result_.end->cases, cases_);
    } else {
      return "kind is '" + kind + "', expected begin, case or end";
    }
    return "";
  }

  std::string_view text_;
  const std::function<void(ShardCase)>& on_case_;
  ShardText result_;
  std::string hash_;
  std::int64_t line_ = 0, cases_ = 0;
};

}  // namespace

Json TimedJson(const TimedRows& timed) {
  Json json = {{"rows", Json::array()}};
  std::vector<HardwareLimits> limits;
  if (timed.limits) limits.push_back(*timed.limits), json["limits"] = LimitsJson(*timed.limits);
  for (const ReportBenchmark& row : timed.rows) json["rows"].push_back(BenchmarkJson(row, limits));
  return json;
}

TimedRows TimedFrom(const Json& json) {
  TimedRows timed;
  if (json.contains("limits")) timed.limits = LimitsFrom(json.at("limits"));
  for (const Json& row : json.at("rows")) timed.rows.push_back(BenchmarkFrom(row));
  return timed;
}

ReportCase StandIn(const ReportBenchmark& row) {
  ReportCase item;
  item.suite = "bench";
  item.name = row.name;
  item.axes = row.axes;
  item.status = row.status;
  item.reason = row.reason;
  return item;
}

std::string HostOf(const ShardBegin& begin) {
  const auto node = begin.scheduler.find("node");
  return node == begin.scheduler.end() ? begin.environment.host.name : node->second;
}

std::string ShardFileName(std::int64_t group, std::int64_t attempt, const std::string& token) {
  return fmt::format("group-{:05}.attempt-{}.{:.8}.jsonl", group, attempt, token);
}

std::optional<std::pair<std::int64_t, std::int64_t>> ShardOfFileName(const std::string& name) {
  long long group = 0, attempt = 0;
  if (std::sscanf(name.c_str(), "group-%lld.attempt-%lld.", &group, &attempt) != 2) return std::nullopt;
  return std::pair<std::int64_t, std::int64_t>{group, attempt};
}

std::string ShardLines::Chained(const char* kind, const Json& body) {
  std::string rest = fmt::format("\",\"seq\":{},\"kind\":\"{}\",{}\n", seq_++, kind, Text(body).substr(1));
  hash_ = Sha256(hash_ + rest.substr(0, rest.size() - 1));
  return fmt::format("{}{}{}", kHead, hash_, rest);
}

std::string ShardLines::Line(const ShardBegin& begin) { return Chained("begin", BeginJson(begin)); }

std::string ShardLines::Line(const ShardCase& item) {
  Json body = {{"index", item.index}, {"deaths", item.deaths}};
  body.update(CaseRecordJson(item.result));
  if (item.timed) body["timed"] = TimedJson(*item.timed);
  return Chained("case", body);
}

std::string ShardLines::Line(const ShardEnd& end) { return Chained("end", EndJson(end)); }

ShardWriter::ShardWriter(const std::string& folder, const ShardBegin& begin)
    : file_(folder + "/" + ShardFileName(begin.group, begin.attempt, begin.token)) {
  file_.Append(lines_.Line(begin));
}

void ShardWriter::Close(const ShardEnd& end) {
  file_.Append(lines_.Line(end));
  file_.Close();
}

ShardText ReadShard(std::string_view text, const std::function<void(ShardCase)>& on_case) {
  return Reader(text, on_case).Read();
}

}  // namespace assay

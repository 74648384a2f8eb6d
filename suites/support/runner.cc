#include "suites/support/runner.h"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"

namespace assay {
namespace {

using Status = CaseOutcome::Status;

CaseOutcome Outcome(Status status, std::string reason) {
  CaseOutcome outcome;
  outcome.status = status;
  outcome.reason = std::move(reason);
  return outcome;
}

const Judgement* WorstOf(const CaseOutcome& outcome) {
  const Judgement* worst = nullptr;
  for (const Judgement& judgement : outcome.judgements)
    worst = worst == nullptr ? &judgement : &Worse(*worst, judgement);
  return worst;
}

// Suites decide; this only refuses what no suite may decide.
CaseOutcome Honest(CaseOutcome outcome) {
  const Judgement* worst = WorstOf(outcome);
  if (outcome.status == Status::kPass) {
    if (worst == nullptr) return Outcome(Status::kFail, "vacuous: the case passed without comparing anything");
    if (worst->verdict == Verdict::kVoid || worst->verdict == Verdict::kWrong) {
      outcome.status = Status::kFail;
      outcome.reason = fmt::format("passed although {} is {} at {}", worst->metric, Name(worst->verdict), worst->worst);
    } else {
      outcome.reason.clear();
    }
  } else if (outcome.reason.empty()) {
    outcome.reason = worst == nullptr
                         ? fmt::format("{} without a reason", Name(outcome.status))
                         : fmt::format("{} is {} at {}", worst->metric, Name(worst->verdict), worst->worst);
  }
  return outcome;
}

}  // namespace

std::string Quoted(const std::string& word) {
  const auto plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_-./:,+=@").find(c) != std::string_view::npos;
  };
  if (!word.empty() && std::all_of(word.begin(), word.end(), plain)) return word;
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

const char* Name(CaseOutcome::Status status) {
  switch (status) {
    case Status::kPass:
      return "pass";
    case Status::kFail:
      return "fail";
    case Status::kSkip:
      return "skip";
    case Status::kError:
      break;
  }
  return "error";
}

CaseOutcome CaseRunner::Guarded(const Case& item) {
  try {
    if (const auto lost = lost_.find(item.device); lost != lost_.end()) {
      return Outcome(Status::kError, fmt::format("device lost in an earlier case: {}", lost->second));
    }
    auto absent = absent_.find(item.device);
    if (absent == absent_.end()) absent = absent_.emplace(item.device, DeviceAvailable(item.device).reason).first;
    if (!absent->second.empty()) return Outcome(Status::kSkip, absent->second);
    return Honest(item.run());
  } catch (const DeviceError& error) {
    if (error.lost) lost_[item.device] = error.what();
    return Outcome(Status::kError, fmt::format("{}{}", error.lost ? "device lost: " : "device error: ", error.what()));
  } catch (const std::exception& error) {
    return Outcome(Status::kError, error.what());
  } catch (...) {
    return Outcome(Status::kError, "an exception that is no std::exception");
  }
}

CaseOutcome CaseRunner::Run(const Case& item) {
  const auto start = std::chrono::steady_clock::now();
  CaseOutcome outcome = Guarded(item);
  outcome.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return outcome;
}

std::string ReplayLine(const Case& item, std::uint64_t seed) {
  std::string line = fmt::format("assay run --case {} --device {} --seed {}", Quoted(item.id()), item.device, seed);
  if (!item.model.empty()) line += fmt::format(" --model {}", Quoted(item.model));
  if (!item.dtype.empty()) line += fmt::format(" --dtype {}", item.dtype);
  return line;
}

ReportCase ToReport(const Case& item, const CaseOutcome& outcome, std::string replay) {
  ReportCase result;
  result.id = item.id();
  result.suite = item.suite;
  result.name = item.name;
  result.params = item.params;
  result.model = item.model;
  result.dtype = item.dtype;
  result.device = item.device;
  result.status = Name(outcome.status);
  result.reason = outcome.reason;
  result.duration_s = outcome.seconds;
  result.replay = std::move(replay);
  for (const Judgement& judgement : outcome.judgements) {
    result.judgements.push_back({std::string(Name(judgement.verdict)), judgement.metric, judgement.value,
                                 judgement.bound, judgement.headroom, judgement.worst, judgement.detail,
                                 judgement.bound_from.empty() ? "not stated" : judgement.bound_from});
  }
  return result;
}

std::vector<ReportCase> RunCases(const std::vector<Case>& cases, const RunOptions& options) {
  CaseRunner runner;
  std::vector<ReportCase> results;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    if (options.before) options.before(i, cases[i]);
    results.push_back(ToReport(cases[i], runner.Run(cases[i]), options.replay(cases[i])));
    if (options.after) options.after(results.back());
  }
  return results;
}

std::vector<Case> SelectCases(std::vector<Case> cases, const std::string& pattern) {
  if (pattern.empty()) return cases;
  std::erase_if(cases, [&](const Case& item) {
    const std::string id = item.id();
    return id != pattern && ::fnmatch(pattern.c_str(), id.c_str(), 0) != 0;
  });
  return cases;
}

}  // namespace assay

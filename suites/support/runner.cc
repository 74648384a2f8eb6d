#include "suites/support/runner.h"

#include <fmt/core.h>
#include <fnmatch.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/base/check.h"
#include "engine/ops/ops_factory.h"
#include "engine/text/shell.h"

namespace assay {
namespace {

CaseOutcome Outcome(Status status, std::string reason) {
  CaseOutcome outcome;
  outcome.status = status;
  outcome.reason = std::move(reason);
  return outcome;
}

// A body decides by what it compares; this refuses what proves nothing.
CaseOutcome Validated(CaseOutcome outcome) {
  if (outcome.status == Status::kPass && outcome.judgements.empty())
    return Outcome(Status::kFail, "vacuous: the case passed without comparing anything");
  return outcome;
}

}  // namespace

CaseOutcome CaseRunner::Guarded(const Case& item) {
  const std::string device = item.target.device.name();
  try {
    if (const auto lost = lost_.find(device); lost != lost_.end())
      return Outcome(Status::kError, fmt::format("device lost in an earlier case: {}", lost->second));
    auto absent = absent_.find(device);
    if (absent == absent_.end()) absent = absent_.emplace(device, DeviceAvailable(item.target.device).reason).first;
    if (!absent->second.empty()) return Outcome(Status::kSkip, absent->second);
    if (const Support able = bench_.provider().CapabilitiesOf(item.target).HasAll(item.needs); !able)
      return Outcome(Status::kSkip, able.reason);
    CaseState state(bench_, item.target);
    if (item.target.batch_invariant) state.check.KeepDigest();
    item.body(state);
    return Validated(state.Finish());
  } catch (const CannotBeSeen& error) {
    return Outcome(Status::kSkip, error.what());
  } catch (const Unsupported& error) {
    return Outcome(Status::kSkip, error.what());
  } catch (const OutOfMemory& error) {
    return Outcome(item.may_not_fit ? Status::kSkip : Status::kError, error.what());
  } catch (const DeviceError& error) {
    if (error.lost) lost_[device] = error.what();
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

std::string ReplayLine(const Case& item) {
  const Target& target = item.target;
  // Alone in a run a model needs no identity behind its name.
  Axes axes;
  for (const auto& [axis, value] : item.axes.all())
    if (axis != "seed") axes.Set(axis, value);  // one seed is an option, no axis
  const std::string label = ModelLabel(target.model);
  if (axes.Text("model") != label) axes.Set("model", label + "*");
  return fmt::format("assay run --case {} --model {} --dtype {} --device {} --seed {}{}",
                     Quoted(PrintId(item.suite, item.name, axes)), Quoted(target.model), Name(target.precision),
                     target.device.name(), target.seed, target.batch_invariant ? " --batch-invariant" : "");
}

ReportCase ToReport(const Case& item, const CaseOutcome& outcome, std::string replay) {
  ReportCase result;
  result.suite = item.suite;
  result.name = item.name;
  result.axes = item.axes;
  result.status = outcome.status;
  result.reason = outcome.reason;
  result.duration_s = outcome.seconds;
  result.judgements = outcome.judgements;
  result.argmax = outcome.argmax;
  result.digest = outcome.digest;
  result.replay = std::move(replay);
  return result;
}

std::vector<ReportCase> RunGroups(Workbench& bench, const std::vector<CaseGroup>& groups, const RunOptions& options) {
  CaseRunner runner(bench);
  std::vector<ReportCase> results;
  for (const CaseGroup& group : groups) {
    for (const Case& item : group.cases) {
      if (options.before) options.before(item);
      results.push_back(ToReport(item, runner.Run(item), options.replay(item)));
      if (options.after) options.after(results.back());
      if (options.stop && options.stop()) return results;
    }
    bench.Forget();
  }
  return results;
}

std::vector<Case> SelectCases(std::vector<Case> cases, const std::string& pattern) {
  return pattern.empty() ? cases : SelectCases(std::move(cases), std::vector<std::string>{pattern});
}

std::vector<Case> SelectCases(std::vector<Case> cases, const std::vector<std::string>& patterns,
                              const std::vector<std::string>& excluded) {
  const auto any = [](const std::vector<std::string>& among, const std::string& name) {
    return std::any_of(among.begin(), among.end(), [&](const std::string& pattern) {
      return name == pattern || ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    });
  };
  std::erase_if(cases, [&](const Case& item) {
    const std::string id = item.id();
    return (!patterns.empty() && !any(patterns, id)) || any(excluded, id) || any(excluded, item.suite);
  });
  return cases;
}

}  // namespace assay

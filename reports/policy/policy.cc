#include "reports/policy/policy.h"

#include <fmt/core.h>

#include <algorithm>

#include "reports/format/check.h"
#include "reports/format/json.h"

namespace assay {
namespace {

using Document = nlohmann::json;  // members have no order

template <class Value>
void Take(const Document& object, const char* key, std::vector<Value>* values) {
  if (object.contains(key)) *values = object[key].get<std::vector<Value>>();
}

GateRule RuleFrom(const Document& json) {
  GateRule rule;
  rule.alpha = json.value("alpha", rule.alpha);
  rule.screen_rounds = json.value("screen_rounds", rule.screen_rounds);
  Take(json, "looks", &rule.looks);
  if (!json.contains("threshold_percent")) return rule;
  const Document& threshold = json["threshold_percent"];
  if (threshold.is_string())
    rule.automatic = true;
  else
    rule.threshold = threshold.get<double>() / 100;
  return rule;
}

Policy Parsed(const Document& json) {
  Policy policy;
  policy.name = json.at("name");
  const Document& require = json.at("require");
  const Document bench = json.value("bench", Document::object());
  Take(require, "devices", &policy.devices);
  Take(require, "suites", &policy.suites);
  Take(require, "models", &policy.models);
  Take(require, "cells", &policy.cells);
  Take(bench, "what", &policy.what);
  Take(bench, "dtype", &policy.dtypes);
  Take(bench, "prompt", &policy.prompts);
  Take(bench, "n", &policy.sessions);
  Take(bench, "ctx", &policy.contexts);
  policy.rule = RuleFrom(json.value("gate", Document::object()));
  for (const Document& waiver : json.value("waivers", Document::array()))
    policy.waivers.push_back({waiver.at("id"), waiver.at("reason"), waiver.at("expires")});
  return policy;
}

}  // namespace

Policy PolicyFrom(std::string_view text, const std::string& file, const std::string& today) {
  const auto refuse = [&](const std::string& why) { return ReportError(fmt::format("policy {}: {}", file, why)); };
  Policy policy;
  try {
    const std::vector<std::string> problems = SchemaProblemsOf(text, PolicySchema());
    if (!problems.empty()) {
      std::string all;  // the first names the object, the last the key
      for (const std::string& problem : problems) all += (all.empty() ? "" : "; ") + problem;
      throw refuse(all);
    }
    policy = Parsed(ParseText<Document>(text));
  } catch (const Document::exception& error) {
    throw refuse(error.what());
  } catch (const NotJson& error) {
    throw refuse(error.what());
  }
  if (const std::string_view problem = RuleProblem(policy.rule); !problem.empty())
    throw refuse(fmt::format("gate.{}", problem));
  for (const Waiver& waiver : policy.waivers)
    if (waiver.expires < today)
      throw refuse(fmt::format("the waiver of {} expired on {} ({}): mend it, or renew the waiver", waiver.id,
                               waiver.expires, waiver.reason));
  return policy;
}

bool MatchesPattern(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern.front() != '*')
    return !text.empty() && pattern.front() == text.front() && MatchesPattern(pattern.substr(1), text.substr(1));
  for (std::size_t i = 0; i <= text.size(); ++i)
    if (MatchesPattern(pattern.substr(1), text.substr(i))) return true;
  return false;
}

std::vector<std::string> Unmet(const Policy& policy, const Report& report) {
  std::vector<std::string> unmet;
  const auto passed = [&](auto wanted) {
    return std::any_of(report.cases.begin(), report.cases.end(),
                       [&](const ReportCase& item) { return item.status == Status::kPass && wanted(item); });
  };
  for (const std::string& device : policy.devices)
    if (!passed([&](const ReportCase& item) { return item.axes.Text("device") == device; }))
      unmet.push_back(fmt::format("policy {}: no case passed on device {}", policy.name, device));
  for (const std::string& suite : policy.suites)
    if (!passed([&](const ReportCase& item) { return item.suite == suite; }))
      unmet.push_back(fmt::format("policy {}: no case of suite {} passed", policy.name, suite));
  for (const std::string& model : policy.models)
    if (!passed([&](const ReportCase& item) { return item.axes.Text("model") == model; }))
      unmet.push_back(fmt::format("policy {}: no case of model {} passed", policy.name, model));
  if (!report.gate) return unmet;  // cells are of builds
  for (const std::string& pattern : policy.cells)
    if (std::none_of(report.gate->cells.begin(), report.gate->cells.end(),
                     [&](const GateCell& cell) { return cell.missing.empty() && MatchesPattern(pattern, cell.id); }))
      unmet.push_back(fmt::format("policy {}: no cell {} was timed", policy.name, pattern));
  return unmet;
}

const Waiver* WaiverOf(const Policy& policy, std::string_view id) {
  const auto found = std::find_if(policy.waivers.begin(), policy.waivers.end(),
                                  [&](const Waiver& waiver) { return MatchesPattern(waiver.id, id); });
  return found == policy.waivers.end() ? nullptr : &*found;
}

}  // namespace assay

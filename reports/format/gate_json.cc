#include <fmt/core.h>

#include "reports/format/json.h"
#include "reports/format/numbers.h"

namespace assay {
namespace {

constexpr int kDigits = 5;  // of what is derived

Json Figure(double value) { return Number(Rounded(value, kDigits)); }

Json RuleJson(const GateRule& rule) {
  return {{"alpha", Number(rule.alpha)},
          {"threshold", Number(rule.threshold)},
          {"threshold_from", rule.automatic ? "spread" : "stated"},
          {"screen_rounds", rule.screen_rounds},
          {"looks", rule.looks},
          {"confidence", Number(rule.confidence)}};
}

GateRule RuleFrom(const Json& json) {
  GateRule rule;
  rule.alpha = json.at("alpha");
  rule.threshold = json.at("threshold");
  rule.automatic = json.at("threshold_from") == "spread";
  rule.screen_rounds = json.at("screen_rounds");
  rule.looks = json.at("looks").get<std::vector<int>>();
  rule.confidence = json.at("confidence");
  if (const std::string_view problem = RuleProblem(rule); !problem.empty())
    throw ReportError(fmt::format("not a report: gate.rule.{}", problem));
  return rule;
}

Json RoundsJson(const std::vector<GateRound>& rounds) {
  Json json = Json::array();
  for (const GateRound& round : rounds) {
    Json line = {{"first", round.candidate_first ? "candidate" : "baseline"}};
    PutUnless(0.0, &line, "baseline", round.baseline);
    PutUnless(0.0, &line, "candidate", round.candidate);
    PutText(&line, "spoilt", round.spoilt);
    json.push_back(std::move(line));
  }
  return json;
}

std::vector<GateRound> RoundsFrom(const Json& json) {
  std::vector<GateRound> rounds;
  for (const Json& line : json) {
    GateRound round{line.at("first") == "candidate", line.value("baseline", 0.0), line.value("candidate", 0.0),
                    line.value("spoilt", "")};
    if (round.spoilt.empty() && !(round.baseline > 0 && round.candidate > 0))
      throw ReportError("not a report: a round of gate.cells counts, but a side took no time");
    rounds.push_back(std::move(round));
  }
  return rounds;
}

Json CellJson(const GateCell& cell, const CellDecision& decision) {
  Json json = {{"id", cell.id}, {"unit", cell.unit}, {"verdict", Name(*decision.verdict)}};
  PutText(&json, "missing", cell.missing);
  PutUnless(0, &json, "rounds", decision.rounds);
  if (decision.rounds > 0) {
    json["threshold"] = Figure(decision.threshold);
    json["estimate"] = Figure(decision.estimate);
    json["interval"] = {Figure(decision.low), Figure(decision.high)};
    json["spread"] = Figure(decision.spread);
    json["detectable"] = Figure(decision.detectable);
    PutUnless(1.0, &json, "p", Rounded(decision.p, kDigits));
    PutUnless(0.0, &json, "level", Rounded(decision.level, kDigits));
    PutUnless(false, &json, "faster", decision.faster);
  }
  json["screen"] = RoundsJson(cell.screen);
  if (!cell.fresh.empty()) json["fresh"] = RoundsJson(cell.fresh);
  return json;
}

GateCell CellFrom(const Json& json) {
  return {json.at("id"), json.at("unit"), json.value("missing", ""), RoundsFrom(json.at("screen")),
          RoundsFrom(json.value("fresh", Json::array()))};
}

Json SideJson(const GateSide& side) { return {{"argument", side.argument}, {"build", BuildJson(side.build)}}; }
GateSide SideFrom(const Json& json) { return {json.at("argument"), BuildFrom(json.at("build"))}; }

}  // namespace

Json GateJson(const GateRecord& record) {
  const GateDecisions decisions = Decide(record);
  Json cells = Json::array();
  for (std::size_t i = 0; i < record.cells.size(); ++i) cells.push_back(CellJson(record.cells[i], decisions.cells[i]));
  return {{"rule", RuleJson(record.rule)},
          {"coin_seed", record.coin_seed},
          {"baseline", SideJson(record.baseline)},
          {"candidate", SideJson(record.candidate)},
          {"family", decisions.family},
          {"symmetry",
           {{"slower", decisions.symmetry.slower},
            {"faster", decisions.symmetry.faster},
            {"exchange_p", Figure(decisions.symmetry.p)}}},
          {"failures", record.failures},
          {"not_comparable", record.not_comparable},
          {"cells", std::move(cells)}};
}

GateRecord GateFrom(const Json& json) {
  GateRecord record;
  record.rule = RuleFrom(json.at("rule"));
  record.coin_seed = json.at("coin_seed");
  record.baseline = SideFrom(json.at("baseline"));
  record.candidate = SideFrom(json.at("candidate"));
  record.failures = json.at("failures").get<std::vector<std::string>>();
  record.not_comparable = json.at("not_comparable").get<std::vector<std::string>>();
  for (const Json& cell : json.at("cells")) record.cells.push_back(CellFrom(cell));
  return record;
}

}  // namespace assay

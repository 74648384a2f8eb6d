#include <fmt/core.h>
#include <algorithm>
#include <cstdlib>

#include <cmath>
#include <limits>

#include "engine/text/foreign.h"
#include "reports/format/json.h"

namespace assay {
namespace {

Json BoundJson(const Bound& bound) {
  Json json = Json::object();
  PutNumber(&json, "soft", bound.soft);
  if (bound.hard != bound.soft) PutNumber(&json, "hard", bound.hard, bound.soft);
  json["from"] = bound.from.str();
  return json;
}

Json BoundsJson(const BoundTable& table) {
  Json bounds = Json::array();
  for (const Bound& bound : table.all()) bounds.push_back(BoundJson(bound));
  return bounds;
}

std::vector<Bound> BoundsFrom(const Json& json) {
  std::vector<Bound> bounds;
  for (const Json& line : json) {
    const double soft = GetNumber(line, "soft");
    bounds.push_back({soft, GetNumber(line, "hard", soft), line.at("from").get<std::string>()});
  }
  return bounds;
}

Json PlaceJson(const Place& place) {
  Json json = Json::object();
  PutText(&json, "note", place.note());
  for (const auto& [name, value] : place.coordinates()) json[name] = value;
  return json;
}

Place PlaceFrom(const Json& json) {
  std::string note;
  std::vector<Place::Coordinate> coordinates;
  for (const auto& [name, value] : json.items()) {
    if (name == "note")
      note = value;
    else
      coordinates.emplace_back(name, value.get<std::int64_t>());
  }
  return {std::move(note), std::move(coordinates)};
}

Json JudgementJson(const Judgement& judgement, const BoundTable& bounds) {
  Json json = {{"metric", judgement.metric}};
  if (judgement.verdict != Verdict::kMatch) json["verdict"] = Name(judgement.verdict);
  PutNumber(&json, "value", judgement.value);
  json["bound"] = bounds.Place(judgement.bound);
  PutUnless(std::int64_t{1}, &json, "comparisons", judgement.comparisons);
  PutText(&json, "fault", judgement.fault);
  if (!judgement.worst.empty()) json["worst"] = PlaceJson(judgement.worst);
  if (judgement.first_outside) json["first_outside"] = PlaceJson(*judgement.first_outside);
  PutText(&json, "detail", judgement.detail);
  return json;
}

Judgement JudgementFrom(const Json& json, const std::vector<Bound>& bounds) {
  const auto index = json.at("bound").get<std::int64_t>();
  if (index < 0 || index >= static_cast<std::int64_t>(bounds.size()))
    throw ReportError(fmt::format("not a report: a judgement's bound is {} of {} bounds", index, bounds.size()));
  Judgement judgement;
  judgement.metric = json.at("metric");
  judgement.verdict = json.contains("verdict") ? VerdictFrom(json["verdict"]) : Verdict::kMatch;
  judgement.value = GetNumber(json, "value");
  judgement.bound = bounds[static_cast<std::size_t>(index)];
  judgement.comparisons = json.value("comparisons", judgement.comparisons);
  judgement.fault = json.value("fault", "");
  if (json.contains("worst")) judgement.worst = PlaceFrom(json["worst"]);
  if (json.contains("first_outside")) judgement.first_outside = PlaceFrom(json["first_outside"]);
  judgement.detail = json.value("detail", "");
  return judgement;
}

ReportCase CaseFrom(const Json& json, const std::vector<Bound>& bounds) {
  ReportCase item;
  item.suite = json.at("suite");
  item.name = json.at("name");
  item.axes = AxesFrom(json.at("axes"));
  item.status = StatusFrom(json);
  item.reason = json.value("reason", "");
  item.duration_s = json.value("duration_s", 0.0);
  if (json.contains("argmax")) item.argmax = {json["argmax"].at(0), json["argmax"].at(1)};
  item.digest = json.value("digest", "");
  item.replay = json.value("replay", "");
  for (const Json& judgement : json.value("judgements", Json::array()))
    item.judgements.push_back(JudgementFrom(judgement, bounds));
  return item;
}

Json RunJson(const Report& report) {
  Json json = {{"id", report.run_id},
               {"kind", report.kind},
               {"argv", report.argv},
               {"started", report.started},
               {"finished", report.finished.empty() ? Json(nullptr) : Json(report.finished)},
               {"duration_s", Number(report.duration_s)},
               {"seed", report.seed}};
  PutText(&json, "evidence", report.evidence);
  PutText(&json, "converted_from", report.converted_from);
  return json;
}

void ReadRun(const Json& json, Report* report) {
  report->run_id = json.at("id");
  report->kind = json.at("kind");
  report->argv = json.at("argv").get<std::vector<std::string>>();
  report->started = json.at("started");
  if (!json.at("finished").is_null()) report->finished = json.at("finished");
  report->duration_s = json.at("duration_s");
  report->seed = json.at("seed");
  report->evidence = json.value("evidence", "");
  report->converted_from = json.value("converted_from", "");
}

Json MeasureJson(const RunMeasure& measure) {
  Json json = {{"name", measure.name}};
  PutNumber(&json, "value", measure.value, std::numeric_limits<double>::quiet_NaN());
  PutText(&json, "unit", measure.unit);
  if (measure.higher_is_better) json["better"] = "higher";
  return json;
}

RunMeasure MeasureFromJson(const Json& json) {
  return {json.at("name"), GetNumber(json, "value"), json.value("unit", ""), json.value("better", "") == "higher"};
}

Json CountsJson(std::int64_t cases, const ReportSummary& summary) {
  Json json = {{"total", cases}};
  for (const auto& [status, count] : summary.statuses) json[std::string(Name(status))] = count;
  for (const auto& [verdict, count] : summary.verdicts) json["verdicts"][std::string(Name(verdict))] = count;
  json["argmax"] = {summary.argmax.judged, summary.argmax.rows};
  return json;
}

// Refuses what is not a report of this major version before anything else is looked at.
void CheckVersion(const Json& json) {
  if (!json.is_object() || !json.contains("schema") || !json["schema"].is_object() ||
      json["schema"].value("name", Json()) != kReportSchemaName) {
    throw ReportError(fmt::format("not a report: schema.name is not '{}'", kReportSchemaName));
  }
  const Json version = json["schema"].value("version", Json());
  if (!version.is_string())
    throw ReportError(fmt::format("not a report: schema.version is {}, expected text", ForMessage(version.dump())));
  const std::string found = version.get<std::string>();
  const std::string known = kReportSchemaVersion;
  if (found.substr(0, found.find('.')) != known.substr(0, known.find('.'))) {
    throw ReportVersionError(
        fmt::format("report version {}: this build reads {}.x; read it with the build whose commit it names, or "
                    "repeat the run with this one",
                    ForMessage(found), known.substr(0, known.find('.'))));
  }
}

}  // namespace

Json Number(double value) {
  const bool whole = std::abs(value) < 9e15 && value == std::trunc(value);
  return whole ? Json(static_cast<std::int64_t>(value)) : Json(value);
}

void PutNumber(Json* object, const char* key, double value, double absent) {
  if (!std::isfinite(value)) {
    (*object)["non_finite"][key] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  } else {
    PutUnless(absent, object, key, value);
  }
}

double GetNumber(const Json& object, const char* key, double absent) {
  if (const auto found = object.find(key); found != object.end()) return found->get<double>();
  const auto named = object.find("non_finite");
  if (named == object.end() || !named->contains(key)) return absent;
  const std::string text = named->at(key).get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  return text == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

Json CaseJson(const ReportCase& item, const BoundTable& bounds) {
  Json json = {{"suite", item.suite}, {"name", item.name}, {"axes", AxesJson(item.axes)}};
  if (item.status != Status::kPass) json["status"] = Name(item.status);
  PutText(&json, "reason", item.reason);
  PutUnless(0.0, &json, "duration_s", item.duration_s);
  if (item.argmax.rows != 0 || item.argmax.judged != 0) json["argmax"] = {item.argmax.judged, item.argmax.rows};
  for (const Judgement& judgement : item.judgements) json["judgements"].push_back(JudgementJson(judgement, bounds));
  PutText(&json, "digest", item.digest);
  PutText(&json, "replay", item.replay);
  return json;
}

Json CaseRecordJson(const ReportCase& item) {
  BoundTable bounds;
  bounds.Add(item);
  return {{"bounds", BoundsJson(bounds)}, {"case", CaseJson(item, bounds)}};
}

ReportCase CaseRecordFrom(const Json& json) { return CaseFrom(json.at("case"), BoundsFrom(json.at("bounds"))); }

Json AxesJson(const Axes& axes) {
  Json json = Json::object();
  for (const auto& [name, value] : axes.all()) std::visit([&, key = name](const auto& v) { json[key] = v; }, value);
  return json;
}

Axes AxesFrom(const Json& json) {
  Axes axes;
  for (const auto& [name, value] : json.items()) {
    if (value.is_string())
      axes.Set(name, value.get<std::string>());
    else if (value.is_number_integer())
      axes.Set(name, value.get<std::int64_t>());
    else
      throw ReportError(fmt::format("not a report: axis '{}' is {}, expected text or a whole number", ForMessage(name),
                                    ForMessage(value.dump())));
  }
  return axes;
}

Status StatusFrom(const Json& object) {
  const auto found = object.find("status");
  if (found == object.end()) return Status::kPass;
  const std::string name = found->get<std::string>();
  const std::optional<Status> status = StatusFromName(name);
  if (!status)
    throw ReportError(
        fmt::format("not a report: status '{}': expected pass, skip, unstable, fail or error", ForMessage(name)));
  return *status;
}

Verdict VerdictFrom(const std::string& name) {
  const std::optional<Verdict> verdict = VerdictFromName(name);
  if (!verdict)
    throw ReportError(
        fmt::format("not a report: verdict '{}': expected MATCH, DRIFT, TIE_FLIP, VOID or WRONG", ForMessage(name)));
  return *verdict;
}

RunMeasure MeasureFrom(const std::string& text) {
  const auto refuse = [&](const char* expected) {
    throw ReportError(fmt::format("measure '{}': expected {}", text, expected));
  };
  RunMeasure measure;
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) refuse("NAME=VALUE, NAME=VALUE:UNIT or NAME=VALUE:UNIT:higher");
  measure.name = text.substr(0, equals);
  const std::size_t unit = std::min(text.find(':', equals), text.size());
  const std::string number = text.substr(equals + 1, unit - equals - 1);
  char* end = nullptr;
  measure.value = std::strtod(number.c_str(), &end);
  if (number.empty() || *end != '\0' || !std::isfinite(measure.value)) refuse("a finite number as its value");
  if (unit == text.size()) return measure;
  const std::size_t better = std::min(text.find(':', unit + 1), text.size());
  measure.unit = text.substr(unit + 1, better - unit - 1);
  if (better == text.size()) return measure;
  if (text.substr(better) != ":higher") refuse("'higher', or nothing, behind its unit");
  measure.higher_is_better = true;
  return measure;
}

Json RestJson(const Report& rest, const CaseTotals& totals) {
  const ReportSummary summary = totals.tally.Summarise(rest);
  Json skips = Json::array(), limits = Json::array(), models = Json::array();
  for (const auto& [reason, ids] : summary.skips) skips.push_back({{"reason", reason}, {"ids", ids}});
  for (const HardwareLimits& known : rest.limits) limits.push_back(LimitsJson(known));
  for (const ModelInfo& model : rest.models)
    models.push_back({{"name", model.name}, {"format", model.format}, {"identity", model.identity}});
  Json json;
  json["schema"] = {{"name", kReportSchemaName}, {"version", kReportSchemaVersion}};
  json["verdict"] = summary.verdict;
  json["run"] = RunJson(rest);
  json["counts"] = CountsJson(totals.tally.cases(), summary);
  json["population"] = {{"listed", rest.listed}, {"selected", rest.selected}};
  json["integrity"] = {{"complete", rest.complete}, {"problems", rest.problems}};
  json["environment"] = EnvironmentJson(rest.environment);
  json["models"] = std::move(models);
  for (const RunMeasure& measure : rest.measures) json["measures"].push_back(MeasureJson(measure));
  json["limits"] = std::move(limits);
  json["skips"] = std::move(skips);
  json["bounds"] = BoundsJson(totals.bounds);
  json["cases"] = Json::array();
  json["benchmarks"] = Json::array();
  if (rest.gate) json["gate"] = GateJson(*rest.gate);
  if (rest.distribution) json["distribution"] = DistributionJson(*rest.distribution);
  return json;
}

// What is kept of a report beside its cases and rows is read several times by whoever checks it.
constexpr JsonLimits kReportLimits{.bytes = kLargestReport, .memory_per_byte = 3, .memory = std::size_t{24} << 20};

// What cases and rows may take of a report that is read: many times what a run writes.
constexpr std::size_t kHeldPerByte = 5, kHeld = std::size_t{24} << 20;

std::size_t Held(const std::string& text) { return text.capacity() > 15 ? text.capacity() + 17 : 0; }

std::size_t Held(const Place& place) {
  std::size_t bytes = Held(place.note()) + place.coordinates().capacity() * sizeof(Place::Coordinate);
  for (const auto& [name, value] : place.coordinates()) bytes += Held(name);
  return bytes;
}

// Beside the object itself.
std::size_t Held(const ReportCase& item) {
  std::size_t bytes = Held(item.suite) + Held(item.name) + Held(item.reason) + Held(item.replay) +
                      item.axes.all().capacity() * sizeof(Axes::Axis) + item.judgements.capacity() * sizeof(Judgement);
  for (const auto& [name, value] : item.axes.all()) {
    bytes += Held(name);
    if (const auto* const text = std::get_if<std::string>(&value)) bytes += Held(*text);
  }
  for (const Judgement& judgement : item.judgements)
    bytes += Held(judgement.metric) + Held(judgement.fault) + Held(judgement.detail) + Held(judgement.worst) +
             (judgement.first_outside ? Held(*judgement.first_outside) : 0);
  return bytes;
}

std::size_t CountOf(std::string_view what, std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size())) ++count;
  return count;
}

template <class Document>
Document ParseText(std::string_view text, const JsonTaker<Document>& take) {
  try {
    return ParseJson<Document>(text, kReportLimits, take);
  } catch (const JsonError& error) {
    throw NotJson(error.what());
  }
}
template Json ParseText(std::string_view, const JsonTaker<Json>&);
template nlohmann::json ParseText(std::string_view, const JsonTaker<nlohmann::json>&);

Report FromJson(std::string_view text) {
  Report report;
  try {
    std::vector<Bound> bounds;
    bool bounded = false;
    std::size_t held = 0;
    report.cases.reserve(std::min(CountOf("{\"suite\":", text), kHeldPerByte * text.size() / sizeof(ReportCase)));
    // Element by element, so that a document of them is never whole.
    const JsonTaker<Json> take = [&](const Json& root, const std::string& member, const Json& element) {
      const bool is_case = member == "cases", is_row = member == "benchmarks";
      if (!is_case && !is_row) return false;
      CheckVersion(root);
      if (!bounded && is_case) bounds = BoundsFrom(root.at("bounds"));
      bounded = bounded || is_case;
      if (is_case) {
        // A list that grows is there twice for a while, the second time with twice the room.
        const std::size_t size = report.cases.size(), room = report.cases.capacity();
        const std::size_t cases = sizeof(ReportCase) * (size < room ? room : 3 * size);
        if (cases + held > kHeld + kHeldPerByte * text.size())
          throw ReportError(fmt::format("not a report: {} cases take {} bytes, more than is read of {} bytes of text",
                                        size, cases + held, text.size()));
        report.cases.push_back(CaseFrom(element, bounds));
        held += Held(report.cases.back());
      } else
        report.benchmarks.push_back(BenchmarkFrom(element));
      return true;
    };
    const Json json = ParseText<Json>(text, take);
    CheckVersion(json);
    ReadRun(json.at("run"), &report);
    report.environment = EnvironmentFrom(json.at("environment"));
    for (const Json& model : json.at("models"))
      report.models.push_back({model.at("name"), model.at("format"), model.at("identity")});
    for (const Json& measure : json.value("measures", Json::array()))
      report.measures.push_back(MeasureFromJson(measure));
    for (const Json& limits : json.at("limits")) report.limits.push_back(LimitsFrom(limits));
    report.listed = json.at("population").at("listed");
    report.selected = json.at("population").at("selected");
    for (const char* list : {"bounds", "cases", "benchmarks"})
      if (!json.at(list).is_array()) throw ReportError(fmt::format("not a report: {} is no list", list));
    if (json.contains("gate")) report.gate = GateFrom(json["gate"]);
    if (json.contains("distribution")) report.distribution = DistributionFrom(json["distribution"]);
    report.complete = json.at("integrity").at("complete");
    report.problems = json.at("integrity").at("problems").get<std::vector<std::string>>();
  } catch (const Json::exception& error) {
    throw ReportError(fmt::format("not a report: {}", error.what()));
  } catch (const NotJson& error) {
    throw ReportError(fmt::format("not a report: {}", error.what()));
  }
  return report;
}

}  // namespace assay

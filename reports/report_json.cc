#include <fmt/core.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "reports/report.h"

namespace assay {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no NaN or infinity: the number is left out and named instead.
void PutNumber(Json& object, const char* key, double value) {
  if (std::isfinite(value)) {
    object[key] = value;
  } else {
    object["non_finite"][key] = std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  }
}

double GetNumber(const Json& object, const char* key) {
  if (const auto found = object.find(key); found != object.end()) return found->get<double>();
  const std::string text = object.at("non_finite").at(key).get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  return text == "inf" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
}

Json JudgementJson(const ReportJudgement& judgement) {
  Json result = {{"verdict", judgement.verdict}, {"metric", judgement.metric}};
  PutNumber(result, "value", judgement.value);
  PutNumber(result, "bound", judgement.bound);
  PutNumber(result, "headroom", judgement.headroom);
  result["worst"] = judgement.worst;
  result["detail"] = judgement.detail;
  result["bound_from"] = judgement.bound_from;
  return result;
}

ReportJudgement JudgementFrom(const Json& json) {
  ReportJudgement judgement;
  judgement.verdict = json.at("verdict");
  judgement.metric = json.at("metric");
  judgement.value = GetNumber(json, "value");
  judgement.bound = GetNumber(json, "bound");
  judgement.headroom = GetNumber(json, "headroom");
  judgement.worst = json.at("worst");
  judgement.detail = json.at("detail");
  judgement.bound_from = json.at("bound_from");
  return judgement;
}

Json CaseJson(const ReportCase& item) {
  Json result = {{"id", item.id},         {"suite", item.suite},   {"name", item.name},
                 {"params", item.params}, {"model", item.model},   {"dtype", item.dtype},
                 {"device", item.device}, {"status", item.status}, {"verdict", CaseVerdict(item)},
                 {"reason", item.reason}};
  if (const ReportJudgement* worst = Worst(item); worst != nullptr) {
    PutNumber(result, "headroom", worst->headroom);
    result["worst"] = worst->worst;
  }
  result["duration_s"] = item.duration_s;
  result["replay"] = item.replay;
  result["judgements"] = Json::array();
  for (const ReportJudgement& judgement : item.judgements) result["judgements"].push_back(JudgementJson(judgement));
  return result;
}

ReportCase CaseFrom(const Json& json) {
  ReportCase item;
  item.id = json.at("id");
  item.suite = json.at("suite");
  item.name = json.at("name");
  item.params = json.at("params");
  item.model = json.at("model");
  item.dtype = json.at("dtype");
  item.device = json.at("device");
  item.status = json.at("status");
  item.reason = json.at("reason");
  item.duration_s = json.at("duration_s");
  item.replay = json.at("replay");
  for (const Json& judgement : json.at("judgements")) item.judgements.push_back(JudgementFrom(judgement));
  return item;
}

struct Figure {
  const char* key;
  double ReportBenchmark::*value;
};
// What follows from samples: absent without any.
constexpr Figure kFigures[] = {{"p50_s", &ReportBenchmark::p50_s},
                               {"p90_s", &ReportBenchmark::p90_s},
                               {"p99_s", &ReportBenchmark::p99_s},
                               {"fraction_of_floor", &ReportBenchmark::fraction_of_floor},
                               {"fraction_of_copy", &ReportBenchmark::fraction_of_copy},
                               {"fraction_of_gemm", &ReportBenchmark::fraction_of_gemm},
                               {"rate", &ReportBenchmark::rate}};

Json BenchmarkJson(const ReportBenchmark& row) {
  Json result = {{"name", row.name},     {"model", row.model},   {"dtype", row.dtype},     {"device", row.device},
                 {"params", row.params}, {"status", row.status}, {"reason", row.reason},   {"parity", row.parity},
                 {"bytes", row.bytes},   {"flops", row.flops},   {"floor_s", row.floor_s}, {"samples", row.samples}};
  if (row.samples > 0)
    for (const Figure& figure : kFigures) result[figure.key] = row.*figure.value;
  result["unit"] = row.unit;
  result["contains"] = row.contains;
  result["counts"] = Json(row.counts);
  return result;
}

ReportBenchmark BenchmarkFrom(const Json& json) {
  ReportBenchmark row;
  row.name = json.at("name");
  row.model = json.at("model");
  row.dtype = json.at("dtype");
  row.device = json.at("device");
  row.params = json.at("params").get<std::map<std::string, std::int64_t>>();
  row.status = json.value("status", row.status);  // since 1.1, as are reason, counts and fraction_of_gemm
  row.reason = json.value("reason", row.reason);
  row.bytes = json.at("bytes");
  row.flops = json.at("flops");
  row.floor_s = json.at("floor_s");
  for (const Figure& figure : kFigures) row.*figure.value = json.value(figure.key, 0.0);
  row.unit = json.at("unit");
  row.contains = json.at("contains");
  row.counts = json.value("counts", row.counts);
  row.samples = json.at("samples");
  row.parity = json.at("parity");
  return row;
}

Json ProvenanceJson(const Report& report, const ReportSummary& summary) {
  const BuildInfo& build = report.build;
  const HostInfo& host = report.host;
  Json result;
  result["build"] = {{"version", build.version},
                     {"commit", build.commit},
                     {"dirty", build.dirty},
                     {"build_id", build.build_id},
                     {"compiler", build.compiler},
                     {"build_type", build.build_type},
                     {"flags", build.flags},
                     {"sanitizers", build.sanitizers},
                     {"cuda", build.cuda},
                     {"cublas", build.cublas},
                     {"cuda_architectures", build.cuda_architectures}};
  result["host"] = {{"name", host.name},   {"cpu", host.cpu},
                    {"cores", host.cores}, {"memory_bytes", host.memory_bytes},
                    {"os", host.os},       {"kernel", host.kernel}};
  result["devices"] = Json::array();
  for (const DeviceInfo& device : report.devices) {
    result["devices"].push_back({{"kind", device.kind}, {"name", device.name}, {"facts", Json(device.facts)}});
  }
  result["models"] = Json::array();
  for (const ModelInfo& model : report.models) {
    result["models"].push_back({{"name", model.name}, {"format", model.format}, {"identity", model.identity}});
  }
  result["tolerances"] = Json::array();
  for (const ToleranceInfo& tolerance : summary.tolerances) {
    result["tolerances"].push_back({{"metric", tolerance.metric},
                                    {"bound_from", tolerance.bound_from},
                                    {"largest_bound", tolerance.largest_bound},
                                    {"comparisons", tolerance.comparisons}});
  }
  return result;
}

void ReadProvenance(const Json& json, Report* report) {
  const Json& build = json.at("build");
  report->build = {build.at("version"),    build.at("commit"), build.at("build_id"),          build.at("compiler"),
                   build.at("build_type"), build.at("flags"),  build.at("sanitizers"),        build.at("dirty"),
                   build.at("cuda"),       build.at("cublas"), build.at("cuda_architectures")};
  const Json& host = json.at("host");
  report->host = {host.at("name"),   host.at("cpu"),   host.at("os"),
                  host.at("kernel"), host.at("cores"), host.at("memory_bytes")};
  for (const Json& device : json.at("devices")) {
    report->devices.push_back(
        {device.at("kind"), device.at("name"), device.at("facts").get<std::map<std::string, std::string>>()});
  }
  for (const Json& model : json.at("models")) {
    report->models.push_back({model.at("name"), model.at("format"), model.at("identity")});
  }
}

// Refuses what is not a report of this major version before anything else is looked at.
void CheckVersion(const Json& json) {
  if (!json.is_object() || !json.contains("schema") || !json["schema"].is_object() ||
      json["schema"].value("name", Json()) != kReportSchemaName) {
    throw ReportError(fmt::format("not a report: schema.name is not '{}'", kReportSchemaName));
  }
  const Json version = json["schema"].value("version", Json());
  if (!version.is_string())
    throw ReportError(fmt::format("not a report: schema.version is {}, expected text", version.dump()));
  const std::string found = version.get<std::string>();
  const std::string known = kReportSchemaVersion;
  if (found.substr(0, found.find('.')) != known.substr(0, known.find('.'))) {
    throw ReportVersionError(
        fmt::format("report version {}: this build reads {}.x", found, known.substr(0, known.find('.'))));
  }
}

}  // namespace

std::string ToJson(const Report& report) {
  const ReportSummary summary = Summarise(report);
  Json json;
  json["schema"] = {{"name", kReportSchemaName}, {"version", kReportSchemaVersion}};
  json["verdict"] = summary.verdict;
  json["run"] = {{"id", report.run_id},
                 {"kind", report.kind},
                 {"argv", report.argv},
                 {"started", report.started},
                 {"finished", report.finished.empty() ? Json(nullptr) : Json(report.finished)},
                 {"duration_s", report.duration_s},
                 {"seed", report.seed}};
  json["counts"] = Json(summary.statuses);
  json["counts"]["total"] = report.cases.size();
  json["counts"]["verdicts"] = Json(summary.verdicts);
  json["population"] = {{"listed", report.listed}, {"selected", report.selected}};
  json["provenance"] = ProvenanceJson(report, summary);
  json["skips"] = Json::array();
  for (const auto& [id, reason] : summary.skips) json["skips"].push_back({{"id", id}, {"reason", reason}});
  json["cases"] = Json::array();
  for (const ReportCase& item : report.cases) json["cases"].push_back(CaseJson(item));
  json["benchmarks"] = Json::array();
  for (const ReportBenchmark& row : report.benchmarks) json["benchmarks"].push_back(BenchmarkJson(row));
  json["integrity"] = {{"complete", report.complete}, {"problems", report.problems}};
  // Names and messages may quote bytes of hostile files: what is not UTF-8 is replaced, never fatal.
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Report FromJson(std::string_view text) {
  Report report;
  try {
    const Json json = Json::parse(text);
    CheckVersion(json);
    const Json& run = json.at("run");
    report.run_id = run.at("id");
    report.kind = run.at("kind");
    report.argv = run.at("argv").get<std::vector<std::string>>();
    report.started = run.at("started");
    if (!run.at("finished").is_null()) report.finished = run.at("finished");
    report.duration_s = run.at("duration_s");
    report.seed = run.at("seed");
    ReadProvenance(json.at("provenance"), &report);
    report.listed = json.at("population").at("listed");
    report.selected = json.at("population").at("selected");
    for (const Json& item : json.at("cases")) report.cases.push_back(CaseFrom(item));
    for (const Json& row : json.at("benchmarks")) report.benchmarks.push_back(BenchmarkFrom(row));
    report.complete = json.at("integrity").at("complete");
    report.problems = json.at("integrity").at("problems").get<std::vector<std::string>>();
  } catch (const Json::exception& error) {
    throw ReportError(fmt::format("not a report: {}", error.what()));
  }
  return report;
}

}  // namespace assay

#include <fmt/core.h>

#include <charconv>

#include "reports/format/activity.h"
#include "reports/format/json.h"
#include "reports/format/numbers.h"

namespace assay {
namespace {

constexpr int kFigureDigits = 6;

struct Quantity {
  const char* key;
  Spread DeviceActivity::*spread;
};
constexpr Quantity kQuantities[] = {{"sm_clock_mhz", &DeviceActivity::sm_clock_mhz},
                                    {"memory_clock_mhz", &DeviceActivity::memory_clock_mhz},
                                    {"power_w", &DeviceActivity::power_w},
                                    {"temperature_c", &DeviceActivity::temperature_c}};

Json ActivityJson(const DeviceActivity& activity) {
  Json json = {{"samples", activity.samples}};
  for (const Quantity& quantity : kQuantities) {
    const Spread& spread = activity.*quantity.spread;
    json[quantity.key] = {Number(spread.min), Number(spread.median), Number(spread.max)};
  }
  if (activity.throttle_reasons != 0) {
    json["throttle"] = fmt::format("{:#x}", activity.throttle_reasons);
    json["throttle_reasons"] = ThrottleReasonNames(activity.throttle_reasons);
  }
  PutUnless({}, &json, "xids", activity.xids);
  return json;
}

std::uint64_t BitsFrom(const std::string& text) {
  std::uint64_t bits = 0;
  const char* const end = text.data() + text.size();
  if (text.size() < 3 || text.compare(0, 2, "0x") != 0 || std::from_chars(text.data() + 2, end, bits, 16).ptr != end)
    throw ReportError(fmt::format("not a report: throttle is '{}', expected bits as '0x4'", text));
  return bits;
}

DeviceActivity ActivityFrom(const Json& json) {
  DeviceActivity activity;
  activity.samples = json.at("samples");
  for (const Quantity& quantity : kQuantities) {
    const Json& spread = json.at(quantity.key);
    activity.*quantity.spread = {spread.at(0), spread.at(1), spread.at(2)};
  }
  if (json.contains("throttle")) activity.throttle_reasons = BitsFrom(json["throttle"]);
  activity.xids = json.value("xids", activity.xids);
  return activity;
}

Json FiguresJson(const Figures& figures) {
  Json json = {{"samples", figures.samples}};
  const std::pair<const char*, double> values[] = {{"p50_s", figures.p50_s},
                                                   {"p90_s", figures.p90_s},
                                                   {"p99_s", figures.p99_s},
                                                   {"fraction_of_floor", figures.fraction_of_floor},
                                                   {"fraction_of_copy", figures.fraction_of_copy},
                                                   {"fraction_of_gemm", figures.fraction_of_gemm},
                                                   {"rate", figures.rate}};
  for (const auto& [key, value] : values) json[key] = Number(Rounded(value, kFigureDigits));
  return json;
}

}  // namespace

Json BenchmarkJson(const ReportBenchmark& row, const std::vector<HardwareLimits>& limits) {
  Json json = {{"name", row.name}, {"axes", AxesJson(row.axes)}};
  if (row.status != Status::kPass) json["status"] = Name(row.status);
  PutText(&json, "reason", row.reason);
  json["parity"] = Name(row.parity);
  PutUnless({}, &json, "covering_cases", row.covering_cases);
  PutText(&json, "kernels", row.kernels);
  PutNumber(&json, "logit_spread", row.logit_spread);
  PutNumber(&json, "logit_tie", row.logit_tie);
  PutUnless(0.0, &json, "bytes", row.bytes);
  PutUnless(0.0, &json, "flops", row.flops);
  PutUnless(0.0, &json, "floor_s", row.floor_s);
  PutUnless(0.0, &json, "work", row.work);
  PutText(&json, "unit", row.unit);
  PutText(&json, "contains", row.contains);
  PutUnless({}, &json, "counts", row.counts);
  if (const Figures figures = FiguresOf(row, limits); figures.samples > 0) json["figures"] = FiguresJson(figures);
  for (const TimedSeries& series : row.series) {
    Json line = {{"seconds", Json::array()}};
    for (const double seconds : series.seconds) line["seconds"].push_back(Number(seconds));
    if (series.activity.samples > 0 || !series.activity.xids.empty()) line["activity"] = ActivityJson(series.activity);
    json["series"].push_back(std::move(line));
  }
  return json;
}

ReportBenchmark BenchmarkFrom(const Json& json) {
  ReportBenchmark row;
  row.name = json.at("name");
  row.axes = AxesFrom(json.at("axes"));
  row.status = StatusFrom(json);
  row.reason = json.value("reason", "");
  row.parity = VerdictFrom(json.at("parity"));
  row.covering_cases = json.value("covering_cases", row.covering_cases);
  row.kernels = json.value("kernels", "");
  row.logit_spread = json.value("logit_spread", 0.0);
  row.logit_tie = json.value("logit_tie", 0.0);
  row.bytes = json.value("bytes", 0.0);
  row.flops = json.value("flops", 0.0);
  row.floor_s = json.value("floor_s", 0.0);
  row.work = json.value("work", 0.0);
  row.unit = json.value("unit", "");
  row.contains = json.value("contains", "");
  row.counts = json.value("counts", row.counts);
  for (const Json& line : json.value("series", Json::array())) {
    TimedSeries series;
    series.seconds = line.at("seconds").get<std::vector<double>>();
    if (line.contains("activity")) series.activity = ActivityFrom(line["activity"]);
    row.series.push_back(std::move(series));
  }
  return row;
}

Json LimitsJson(const HardwareLimits& limits) {
  Json json = Json::object();
  PutText(&json, "dtype", limits.dtype);
  json["copy_bytes_per_s"] = Number(limits.copy_bytes_per_s);
  json["read_bytes_per_s"] = Number(limits.read_bytes_per_s);
  json["gemm_flops_per_s"] = Number(limits.gemm_flops_per_s);
  PutText(&json, "how", limits.how);
  return json;
}

HardwareLimits LimitsFrom(const Json& json) {
  return {json.value("dtype", ""), json.at("copy_bytes_per_s"), json.at("read_bytes_per_s"),
          json.at("gemm_flops_per_s"), json.value("how", "")};
}

}  // namespace assay

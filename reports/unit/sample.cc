#include "reports/unit/sample.h"

#include "reports/environment/begin.h"

namespace assay {

ReportCase MakeCase(const std::string& name, Status status, Verdict verdict) {
  ReportCase item;
  item.suite = "Suite";
  item.name = name;
  item.axes = Axes({{"model", "nano"}, {"dtype", "fp32"}, {"device", "host"}, {"n", std::int64_t{8}}});
  item.status = status;
  item.duration_s = 0.5;
  item.replay = "assay run --case " + item.id();
  if (status != Status::kPass) item.reason = "because";
  if (status == Status::kSkip) return item;
  const Bound bound{2e-4, 8e-4, "stated 2e-4"};
  const double value = verdict == Verdict::kMatch ? 1e-5 : IsSoft(verdict) ? 3e-4 : 1e-2;
  Judgement judgement = Judged("max_abs_logit", value, bound, {{"row", 3}}, "expected 1, found 2", verdict);
  judgement.comparisons = 16;
  if (judgement.verdict != Verdict::kMatch) judgement.first_outside = Place{{"row", 2}};
  item.judgements.push_back(judgement);
  if (IsSoft(verdict)) item.judgements.push_back(Judged("max_abs_logit_budget", 1, Bound::Fixed(2, "Poisson"), {}));
  return item;
}

Report Sample() {
  const char* argv[] = {"assay", "run"};
  Report report = BeginReport("run", 2, argv);
  report.finished = Now();
  report.seed = 7;
  GpuInfo gpu;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.power_limit_w = 700;
  gpu.ecc_before = gpu.ecc_after = EccCounts{3, 1};
  report.environment.gpus = {gpu};
  report.environment.cuda = {.driver = "580.159.04", .driver_cuda = "13.0", .runtime = "13.0", .cublas = "13.1.0"};
  report.environment.variables = {{"CUBLAS_WORKSPACE_CONFIG", ":4096:8"}};
  report.models = {{"nano", "safetensors", "00ff"}};
  report.cases = {MakeCase("A", Status::kPass), MakeCase("B", Status::kPass, Verdict::kDrift),
                  MakeCase("C", Status::kSkip), MakeCase("D", Status::kPass)};
  Judgement argmax = Judged("argmax", 0, {0, 4e-4, "tie"}, {});
  argmax.comparisons = 7;
  report.cases[3].judgements.push_back(argmax);
  report.cases[3].argmax = {7, 8};
  report.cases[3].digest = std::string(64, 'a');
  report.listed = 5;
  report.selected = 4;
  report.complete = true;
  return report;
}

ReportBenchmark MakeRow(Status status) {
  ReportBenchmark row;
  row.name = "decode";
  row.axes = Axes({{"model", "nano"}, {"dtype", "fp32"}, {"device", "cuda"}, {"n", std::int64_t{8}}});
  row.status = status;
  row.parity = Verdict::kMatch;
  row.covering_cases = {MakeCase("A", Status::kPass).id()};
  row.kernels = "abcd";
  row.bytes = 4e9;
  row.flops = 1e9;
  row.floor_s = 2e-3;
  row.work = 8;
  row.unit = "token";
  row.counts = {{"graph_launches", 1}, {"host_syncs", 0}};
  if (status != Status::kPass) row.reason = "because";
  if (status != Status::kPass && status != Status::kUnstable) return row;
  TimedSeries series;
  for (int i = 1; i <= 10; ++i) series.seconds.push_back(0.004 + 0.0001 * i);
  series.activity = {.sm_clock_mhz = {1965, 1980, 1980},
                     .memory_clock_mhz = {2619, 2619, 2619},
                     .power_w = {400, 500, 512.5},
                     .temperature_c = {45, 46, 48},
                     .samples = 12};
  if (status == Status::kUnstable) series.activity.throttle_reasons = 0x4;
  row.series = {series};
  return row;
}

Report TimedSample() {
  Report report = Sample();
  report.kind = "bench";
  report.limits = {{"fp32", 2e12, 2.5e12, 6e14, "copy of 2048 MiB"}};
  report.benchmarks = {MakeRow(), MakeRow(Status::kSkip), MakeRow(Status::kUnstable)};
  report.benchmarks[1].name = "skipped";
  report.benchmarks[2].name = "slowed";
  return report;
}

std::string Changed(const Report& report, const std::function<void(nlohmann::ordered_json&)>& change) {
  auto json = nlohmann::ordered_json::parse(ToJson(report));
  change(json);
  return json.dump();
}

}  // namespace assay

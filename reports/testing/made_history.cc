#include "reports/testing/made_history.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <numbers>

#include "reports/environment/begin.h"
#include "reports/format/digest.h"

namespace assay {
namespace {

constexpr const char* kModels[] = {"gemma4-e4b", "gemma4-26b-a4b", "llama-3.1-8b", "qwen3-8b", "gemma4-nano"};
constexpr const char* kTypes[] = {"bf16", "fp16"};
constexpr std::int64_t kSessions[] = {1, 2, 4, 8, 16, 32, 64, 128}, kContexts[] = {512, 4096};
constexpr std::int64_t kPrompts[] = {128, 512, 2048, 8192};

// A number of (seed, cell, night, index) alone, normal.
double NormalAt(std::uint64_t seed, int cell, int night, int index) {
  const auto uniform = [&](std::uint64_t salt) {
    std::uint64_t bits = seed * 0x9e3779b97f4a7c15u + (static_cast<std::uint64_t>(cell) << 40) +
                         (static_cast<std::uint64_t>(night) << 16) + static_cast<std::uint64_t>(index) * 2 + salt;
    for (int i = 0; i < 2; ++i) {
      bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
      bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
      bits ^= bits >> 31;
    }
    return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53;
  };
  return std::sqrt(-2 * std::log(uniform(0))) * std::cos(2 * std::numbers::pi * uniform(1));
}

double LevelOf(const MadeHistory& made, int cell, int night) {
  const int left = made.nights - night;
  switch (CourseOf(cell)) {
    case Course::kStep:
      return night >= StepNight(made) ? 1.03 : 1;
    case Course::kFaster:
      return night >= made.nights / 3 ? 0.94 : 1;
    case Course::kCreep:
      return 1 + 0.001 * std::max(0, 40 - left);
    case Course::kCameAndWent:
      return night >= made.nights / 2 && night < made.nights / 2 + 20 ? 1.05 : 1;
    default:
      return 1;
  }
}

std::string TimeOf(const MadeHistory& made, int night, int minutes) {
  using namespace std::chrono;
  const sys_days last = year{2026} / November / 27;
  const sys_days day = last - days(made.nights - 1 - night);
  const year_month_day date(day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:00.000Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), 2 + minutes / 60,
                     minutes % 60);
}

std::string Name(const MadeHistory& made, const std::string& plain) {
  if (!made.hostile) return plain;
  return plain +
         "</script><script>window.hostile=1</script><img src=x onerror=\"window.hostile=2\">'\"&\xE2\x80\xAE"
         "evil\xE2\x80\x8F\x1B[31m";
}

std::string UuidOf(const std::string& text) {
  const std::string hex = Sha256(text);
  return fmt::format("{}-{}-4{}-a{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 3), hex.substr(15, 3),
                     hex.substr(18, 12));
}

Report Begun(const MadeHistory& made, int night, const std::string& kind, int minutes) {
  static const Report kHere = [] {
    const char* argv[] = {"assay", "bench"};
    return BeginReport("bench", 2, argv);
  }();
  Report report = kHere;
  report.kind = kind;
  report.run_id = UuidOf(fmt::format("{} {} {}", made.seed, kind, night));
  report.argv = {"assay", kind, "--device", "cuda"};
  report.started = TimeOf(made, night, minutes);
  report.finished = TimeOf(made, night, minutes + 20);
  report.duration_s = 1200;
  Environment& environment = report.environment;
  environment = Environment();
  environment.build = {.version = "0.1.0",
                       .commit = Sha256(fmt::format("night {}", night)).substr(0, 40),
                       .build_id = Sha256(fmt::format("build {}", night)).substr(0, 40),
                       .compiler = "GNU 12.2.0",
                       .build_type = "Release",
                       .flags = "-O3",
                       .sanitizers = "",
                       .cuda = "13.0.88",
                       .cuda_architectures = "90"};
  environment.host = {Name(made, "lab-1"), "AMD EPYC 9654", "Debian GNU/Linux 12", "Linux 6.1.0", 16, 1ll << 37};
  environment.device_asked = "cuda:0";
  environment.cuda = {.driver = "580.159.04", .driver_cuda = "13.0", .runtime = "13.0", .cublas = "13.1.0"};
  GpuInfo gpu;
  gpu.name = "NVIDIA H100 80GB HBM3";
  gpu.memory_bytes = 85017493504;
  gpu.sm_count = 132;
  gpu.power_limit_w = 700;
  gpu.ecc_before = gpu.ecc_after = EccCounts{};
  environment.gpus = {gpu};
  environment.system.name = "assay engine";
  environment.system.version = "0.1.0";
  environment.system.commit = environment.build.commit;
  report.limits = {{"bf16", 3.02e12, 3.07e12, 7.97e14, "made up"}, {"fp16", 3.02e12, 3.07e12, 7.6e14, "made up"}};
  report.complete = true;
  return report;
}

ReportCase PassingCase(const std::string& suite, const std::string& name, const Axes& axes, double headroom) {
  ReportCase item;
  item.suite = suite;
  item.name = name;
  item.axes = axes;
  item.status = Status::kPass;
  item.duration_s = 0.5;
  Bound bound{.soft = 1, .hard = 2, .from = "made up"};
  item.judgements = {Judged("max_abs_logit", headroom, bound, {})};
  return item;
}

Axes AxesOf(const MadeHistory& made, int cell, std::string* name) {
  const int of_model = cell / 20, within = cell % 20;
  Axes axes({{"model", Name(made, kModels[of_model / 2 % 5])}, {"dtype", kTypes[of_model % 2]}, {"device", "cuda"}});
  if (of_model >= 10) axes.Set("variant", std::int64_t{of_model / 10});
  if (within < 16) {
    *name = "decode";
    axes.Set("n", kSessions[within % 8]).Set("context", kContexts[within / 8]);
  } else {
    *name = "prefill";
    axes.Set("prompts", std::int64_t{1}).Set("tokens", kPrompts[within - 16]);
  }
  return axes;
}

void AddRow(const MadeHistory& made, int cell, int night, Report* report) {
  ReportBenchmark row;
  row.axes = AxesOf(made, cell, &row.name);
  const std::string covering = row.name == "decode" ? "Decode" : "Prefill";
  report->cases.push_back(PassingCase("Shapes", covering, row.axes, 0.3 + 0.001 * cell));
  row.parity = Verdict::kMatch;
  row.covering_cases = {report->cases.back().id()};
  row.kernels = Sha256(fmt::format("kernels {} {}", cell, LevelOf(made, cell, night) > 1));
  row.bytes = 2e9 * (1 + cell % 20);
  row.flops = row.bytes * (1 << (cell % 8));
  row.work = 8;
  row.unit = "token";
  row.contains = "a step";
  row.counts = {{"graph_launches", 1}, {"graph_nodes", 512 + cell}, {"host_syncs", 0}};
  row.floor_s = FloorOf(row, report->limits);
  TimedSeries series;
  const double level = row.floor_s * (1.25 + 0.01 * (cell % 20)) * LevelOf(made, cell, night) *
                       std::exp(made.noise * NormalAt(made.seed, cell, night, 0));
  for (int i = 1; i <= made.samples; ++i)
    series.seconds.push_back(level * (1 + 0.001 * NormalAt(made.seed, cell, night, i)));
  series.activity = {.sm_clock_mhz = {1965, 1980, 1980},
                     .memory_clock_mhz = {2619, 2619, 2619},
                     .power_w = {400, 500, 512.5},
                     .temperature_c = {45, 46, 48},
                     .samples = 12};
  if (CourseOf(cell) == Course::kPaused && night > made.nights - 60 && night < made.nights - 45) {
    row.status = Status::kUnstable;
    row.reason = "sw_power_cap lowered the clocks";
    series.activity.throttle_reasons = 0x4;
  }
  row.series = {std::move(series)};
  report->benchmarks.push_back(std::move(row));
}

}  // namespace

Course CourseOf(int cell) {
  switch (cell % 40) {
    case 3:
      return Course::kStep;
    case 7:
      return Course::kFaster;
    case 12:
      return Course::kCreep;
    case 21:
      return Course::kCameAndWent;
    case 33:
      return Course::kPaused;
    default:
      return Course::kSteady;
  }
}

int StepNight(const MadeHistory& made) { return made.nights - 10; }

Report MadeBench(const MadeHistory& made, int night) {
  Report report = Begun(made, night, "bench", 0);
  for (int cell = 0; cell < made.cells; ++cell) AddRow(made, cell, night, &report);
  report.listed = report.selected = static_cast<std::int64_t>(report.cases.size());
  return AsWritten(report);
}

Report MadeParity(const MadeHistory& made, int night) {
  Report report = Begun(made, night, "run", 30);
  report.limits.clear();
  int place = 0;
  for (const char* model : kModels)
    for (const char* type : kTypes)
      for (const char* suite : {"Golden", "Prefill", "BatchedDecode", "Schedule", "Invariance"}) {
        const Axes axes({{"model", Name(made, model)}, {"dtype", type}, {"device", "cuda"}});
        report.cases.push_back(PassingCase(suite, "Matches", axes, 0.05 + 0.017 * (place++ % 50)));
      }
  if (made.hostile) {
    ReportCase& item = report.cases[7];
    item.status = Status::kError;
    item.reason = Name(made, "went wrong ") + std::string(1 << 20, '<');
    item.replay = "assay run";
  }
  report.listed = report.selected = static_cast<std::int64_t>(report.cases.size());
  return AsWritten(report);
}

Report MadeElsewhere(const MadeHistory& made, int night) {
  Report report = Begun(made, night, "bench", 60);
  report.run_id = UuidOf(fmt::format("{} elsewhere {}", made.seed, night));
  report.environment.host.name = "lab-2";
  report.environment.gpus[0].name = "NVIDIA L40S";
  if (night >= made.nights / 2) report.environment.cuda->driver = "590.12.01";
  for (int cell = 0; cell < std::min(made.cells, 6); ++cell) AddRow(made, cell, night, &report);
  report.listed = report.selected = static_cast<std::int64_t>(report.cases.size());
  return AsWritten(report);
}

}  // namespace assay

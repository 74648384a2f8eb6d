#include <fmt/format.h>

#include "reports/format/json.h"
#include "reports/render/export.h"
#include "reports/render/export_text.h"

namespace assay {
namespace {

constexpr double kNanoseconds = 1e9;

Json Entry(const ReportBenchmark& row, const Figures& figures, std::size_t family) {
  const std::string id = OneLine(row.id());
  Json entry{{"name", id},
             {"family_index", family},
             {"per_family_instance_index", 0},
             {"run_name", id},
             {"run_type", "iteration"},
             {"repetitions", 1},
             {"repetition_index", 0},
             {"threads", 1},
             {"iterations", figures.samples},
             {"real_time", Number(figures.p50_s * kNanoseconds)},
             {"cpu_time", Number(figures.p50_s * kNanoseconds)},
             {"time_unit", "ns"}};
  if (row.work > 0) entry["items_per_second"] = Number(figures.rate);
  if (row.bytes > 0) entry["bytes_per_second"] = Number(row.bytes / figures.p50_s);
  entry["p90_ns"] = Number(figures.p90_s * kNanoseconds);
  entry["p99_ns"] = Number(figures.p99_s * kNanoseconds);
  if (row.floor_s > 0) entry["floor_ns"] = Number(row.floor_s * kNanoseconds);
  if (figures.fraction_of_floor > 0) entry["fraction_of_floor"] = Number(figures.fraction_of_floor);
  for (const auto& [name, count] : row.counts)
    if (std::string key = OneLine(name); !entry.contains(key)) entry[key] = count;
  entry["label"] = OneLine(fmt::format("parity {}", Name(row.parity)));
  return entry;
}

}  // namespace

Exported ExportGoogleBenchmark(const Report& report) {
  Exported exported;
  Json entries = Json::array();
  std::string without;
  std::size_t missing = 0;
  for (const ReportBenchmark& row : report.benchmarks) {
    const Figures figures = FiguresOf(row, report.limits);
    if (row.status == Status::kPass && figures.p50_s > 0) {
      entries.push_back(Entry(row, figures, entries.size()));
      continue;
    }
    without += fmt::format("{}{} ({}: {})", without.empty() ? "" : "; ", row.id(), Name(row.status), row.reason);
    ++missing;
  }
  exported.dropped = fmt::format(
      "{} cases; {} of {} rows, which have no speed; samples (real_time is their median), what the device did; "
      "cpu_time "
      "was not measured and is real_time",
      report.cases.size(), missing, report.benchmarks.size());
  const Environment& environment = report.environment;
  // Values of the context that Google Benchmark does not know are texts, as those of --benchmark_context are.
  const Json context{{"date", OneLine(report.started)},
                     {"host_name", OneLine(environment.host.name)},
                     {"executable", report.argv.empty() ? "assay" : OneLine(report.argv.front())},
                     {"num_cpus", environment.host.cores},
                     {"caches", Json::array()},
                     {"load_avg", Json::array()},
                     {"library_build_type", "release"},
                     {"json_schema_version", 1},
                     {"assay_verdict", Summarise(report).verdict},
                     {"assay_run", OneLine(report.run_id)},
                     {"assay_commit", OneLine(CommitName(report))},
                     {"assay_device", OneLine(DeviceNames(report))},
                     {"assay_comparability", ComparabilityKey(environment)},
                     {"assay_without_speed", OneLine(without)},
                     {"assay_dropped", exported.dropped}};
  exported.text = Json{{"context", context}, {"benchmarks", entries}}.dump(2) + "\n";
  return exported;
}

}  // namespace assay

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "ci/assay/checked_report.h"
#include "ci/assay/commands.h"
#include "ci/assay/terminal.h"
#include "reports/format/writer.h"
#include "reports/render/export.h"

namespace assay {

int ExportCommand(const std::string& format, const std::string& file, const std::string& out) {
  if (std::error_code error; !out.empty() && std::filesystem::equivalent(file, out, error))
    throw ReportError(fmt::format("{}: an export does not replace its report", out));
  const auto [report, problems, text] = ReadChecked(file);
  // Standard output is the export's.
  for (const std::string& problem : problems) Tell(stderr, "{}: {}\n", file, problem);
  if (!problems.empty()) return kExitFailure;
  const auto formats = ExportFormats();
  const auto found =
      std::find_if(formats.begin(), formats.end(), [&](const auto& known) { return format == known.name; });
  const Exported exported = found->make(report);
  if (out.empty())
    WriteOut(exported.text);
  else
    WriteFileAtomically(out, exported.text);
  Tell(stderr, "assay: {} leaves out: {}\n", format, exported.dropped);
  const bool timed = std::any_of(report.benchmarks.begin(), report.benchmarks.end(),
                                 [](const ReportBenchmark& row) { return row.status == Status::kPass; });
  if (format != "google-benchmark" || timed) return kExitPass;
  // Whoever compares an empty list finds no regression in it.
  Tell(stderr, "assay: {}: no row has a speed: there is nothing to compare\n", file);
  return kExitIncomplete;
}

}  // namespace assay

#include "reports/render/export.h"

#include <array>

namespace assay {

std::span<const ExportFormat> ExportFormats() {
  static constexpr std::array<ExportFormat, 5> kFormats{
      {{"junit", ExportJunit},
       {"google-benchmark", ExportGoogleBenchmark},
       {"markdown", [](const Report& report) { return ExportMarkdown(report); }},
       {"github", ExportGithub},
       {"csv", ExportCsv}}};
  return kFormats;
}

}  // namespace assay

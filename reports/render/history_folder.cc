#include "reports/render/history_folder.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "reports/format/writer.h"
#include "reports/render/history_page.h"

namespace assay {

std::vector<std::string> ReportPaths(const std::string& folder) {
  std::vector<std::string> paths;
  try {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      std::string path = std::filesystem::relative(entry.path(), folder).generic_string();
      if (entry.is_regular_file() && (path.ends_with(".json") || path.ends_with(".json.gz")))
        paths.push_back(std::move(path));
    }
  } catch (const std::filesystem::filesystem_error& error) {
    throw ReportError(fmt::format("cannot read {}: {}", folder, error.code().message()));
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::vector<std::pair<std::string, Report>> ReadHistory(const std::string& folder) {
  std::vector<std::pair<std::string, Report>> reports;
  for (const std::string& path : ReportPaths(folder)) {
    try {
      reports.emplace_back(path, FromJson(ReadFile(folder + "/" + path)));
    } catch (const ReportVersionError& error) {
      throw ReportVersionError(fmt::format("{}: {}", path, error.what()));
    } catch (const ReportError& error) {
      throw ReportError(fmt::format("{}: {}", path, error.what()));
    }
  }
  return reports;
}

std::string RenderHistoryFolder(const std::string& folder) {
  return ReadFile(folder + "/preface.md") + "\n" + RenderHistoryPage(ReadHistory(folder));
}

}  // namespace assay

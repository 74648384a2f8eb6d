// The kept runs hold, and their page is what they say.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <regex>

#include "reports/format/check.h"
#include "reports/format/writer.h"
#include "reports/render/history_folder.h"
#include "reports/render/history_page.h"

namespace assay {
namespace {

constexpr std::uintmax_t kLargestHistory = 2'000'000;

// The p of a gate's symmetry, which 2.4 computes another way under another name.
std::string WithoutSymmetry(const std::string& text) {
  return std::regex_replace(text, std::regex("\"(exchange_)?p\":[0-9.e-]+\\}"), "}");
}

// What an older minor version wrote is written again as it stands, under this one's number.
std::string OfThisVersion(const std::string& text) {
  const std::regex version("(\"name\":\"assay\\.report\",\"version\":\")[0-9.]+");
  return std::regex_replace(text, version, std::string("$01") + kReportSchemaVersion,
                            std::regex_constants::format_first_only);
}

TEST(History, EveryKeptReportHolds) {
  std::uintmax_t size = 0;
  int reports = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(ASSAY_HISTORY)) {
    if (!entry.is_regular_file()) continue;
    size += entry.file_size();
    const std::string path = entry.path().string();
    if (path.ends_with(".md")) continue;
    SCOPED_TRACE(path);
    ASSERT_TRUE(path.ends_with(".json.gz")) << "a kept report is compressed";
    const std::string text = ReadFile(path);
    EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
    EXPECT_EQ(ConsistencyProblems(text), std::vector<std::string>{});
    EXPECT_EQ(WithoutSymmetry(ToJson(FromJson(text))), WithoutSymmetry(OfThisVersion(text)));
    for (const char* folder : {"/root/", "/tmp/", "/home/", "/dev/shm/"})
      EXPECT_EQ(text.find(folder), std::string::npos) << "a path of the machine that measured";
    ++reports;
  }
  EXPECT_GT(reports, 0);
  EXPECT_LE(size, kLargestHistory);
}

TEST(History, ThePageIsRenderedFromTheReports) {
  const std::string page = RenderHistoryFolder(ASSAY_HISTORY), path = std::string(ASSAY_HISTORY) + "/README.md";
  if (std::getenv("ASSAY_RENDER_HISTORY") != nullptr) WriteFileAtomically(path, page);
  EXPECT_TRUE(ReadFile(path) == page) << "run this test with ASSAY_RENDER_HISTORY=1 to render the page again";
}

TEST(History, FilesThatAreNoReportsAreNamed) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "history_with_a_stranger";
  std::filesystem::create_directories(folder / "inner");
  WriteFileAtomically((folder / "inner" / "stranger.json").string(), "{}");
  WriteFileAtomically((folder / "notes.txt").string(), "no report");
  try {
    ReadHistory(folder.string());
    FAIL();
  } catch (const ReportError& error) {
    EXPECT_EQ(std::string(error.what()).find("inner/stranger.json: not a report"), 0u) << error.what();
  }
  std::filesystem::remove_all(folder);
  EXPECT_THROW(ReadHistory(folder.string()), ReportError);
}

}  // namespace
}  // namespace assay

// Report files: whole or absent, plain and compressed.
#include "reports/format/writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "reports/environment/begin.h"
#include "reports/format/check.h"
#include "reports/format/digest.h"
#include "reports/format/gzip.h"
#include "reports/format/report_text.h"
#include "reports/unit/sample.h"

namespace assay {
namespace {

std::string Bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class ReportFiles : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / NewRunId();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string Path(const char* name) const { return (folder_ / name).string(); }
  std::size_t Files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  std::filesystem::path folder_;
};

TEST_F(ReportFiles, RunThatDiesLeavesAReportThatSaysSo) {
  Report report = Sample();
  report.cases.pop_back();
  { ReportFile file(Path("r.json"), report); }
  const std::string text = ReadFile(Path("r.json"));
  EXPECT_EQ(SchemaProblems(text), std::vector<std::string>{});
  EXPECT_EQ(ConsistencyProblems(text), std::vector<std::string>{});
  const Report found = FromJson(text);
  EXPECT_FALSE(found.complete);
  EXPECT_EQ(found.cases.size(), 3u);
  EXPECT_EQ(Summarise(found).verdict, "INCOMPLETE");
}

TEST_F(ReportFiles, FinishReplacesTheIncompleteReportAndLeavesNothingBeside) {
  ReportFile file(Path("r.json"), Sample());
  file.Finish(Sample());
  EXPECT_TRUE(FromJson(ReadFile(Path("r.json"))).complete);
  EXPECT_EQ(Files(), 1u);
}

TEST_F(ReportFiles, FailedWriteLeavesTheOldFile) {
  WriteFileAtomically(Path("r.json"), "old");
  // A folder in the way of the temporary file's target makes the rename fail after the text was written.
  std::filesystem::create_directory(Path("taken"));
  EXPECT_THROW(WriteFileAtomically(Path("taken"), "new"), ReportError);
  EXPECT_EQ(ReadFile(Path("r.json")), "old");
  EXPECT_EQ(Files(), 2u);
}

TEST_F(ReportFiles, MessagesNameThePath) {
  try {
    WriteFileAtomically(Path("absent/r.json"), "");
    FAIL();
  } catch (const ReportError& error) {
    EXPECT_NE(std::string(error.what()).find(Path("absent/r.json")), std::string::npos) << error.what();
  }
  EXPECT_THROW(ReadFile(Path("absent")), ReportError);
  EXPECT_THROW(ReadFile(folder_.string()), ReportError);
}

TEST_F(ReportFiles, ModeAndLinksStay) {
  namespace fs = std::filesystem;
  const mode_t before = ::umask(027);
  WriteFileAtomically(Path("new.json"), "1");
  ::umask(before);
  EXPECT_EQ(fs::status(Path("new.json")).permissions(), fs::perms(0640)) << "what the umask leaves";
  fs::permissions(Path("new.json"), fs::perms(0604));
  WriteFileAtomically(Path("new.json"), "2");
  EXPECT_EQ(fs::status(Path("new.json")).permissions(), fs::perms(0604)) << "what it was";
  // Links to a file, through a folder, and to what is not there yet.
  fs::create_directory(Path("below"));
  fs::create_symlink("below", Path("folder"));
  fs::create_symlink("../new.json", Path("below/link.json"));
  WriteFileAtomically(Path("folder/link.json"), "3");
  EXPECT_EQ(ReadFile(Path("new.json")), "3");
  EXPECT_TRUE(fs::is_symlink(Path("below/link.json")));
  fs::create_symlink("below/later.json", Path("dangling.json"));
  WriteFileAtomically(Path("dangling.json"), "4");
  EXPECT_TRUE(fs::is_symlink(Path("dangling.json")));
  EXPECT_EQ(ReadFile(Path("below/later.json")), "4");
  fs::create_symlink("loop.json", Path("loop.json"));
  EXPECT_THROW(WriteFileAtomically(Path("loop.json"), "5"), ReportError);
}

TEST_F(ReportFiles, OnlyItsOwnTemporaryIsRemoved) {
  std::ofstream(Path("r.json.1.tmp")) << "another's";
  std::ofstream(Path(".assay-0.tmp")) << "another's";
  WriteFileAtomically(Path("r.json"), "mine");
  EXPECT_EQ(Files(), 3u);
  EXPECT_EQ(Bytes(Path(".assay-0.tmp")), "another's");
}

TEST_F(ReportFiles, WhatIsNoRegularFileIsNotRead) {
  EXPECT_THROW(ReadFile("/dev/zero"), ReportError);
  ASSERT_EQ(::mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_THROW(ReadFile(Path("pipe")), ReportError);
}

TEST_F(ReportFiles, ARunWithProblemsIsNotComplete) {
  ReportFile file(Path("r.json"), Sample());
  Report report = Sample();
  report.problems = {"node lost"};
  file.Finish(report);
  EXPECT_FALSE(FromJson(ReadFile(Path("r.json"))).complete);
  EXPECT_EQ(ConsistencyProblems(ReadFile(Path("r.json"))), std::vector<std::string>{});
}

TEST_F(ReportFiles, APathThatEndsInGzIsCompressed) {
  ReportFile file(Path("r.json.gz"), Sample());
  file.Finish(Sample());
  const std::string bytes = Bytes(Path("r.json.gz")), text = ReadFile(Path("r.json.gz"));
  EXPECT_EQ(bytes.substr(0, 2), "\x1f\x8b");
  EXPECT_LT(bytes.size(), text.size() / 2);
  EXPECT_EQ(ConsistencyProblems(text), std::vector<std::string>{});
  WriteFileAtomically(Path("again.json.gz"), text);
  EXPECT_EQ(Bytes(Path("again.json.gz")), bytes) << "the same text has the same bytes";
  EXPECT_EQ(bytes.substr(4, 4), std::string(4, '\0')) << "no time in the header";
  EXPECT_EQ(Files(), 2u);
}

TEST_F(ReportFiles, PiecesGiveTheBytesOfTheWholeText) {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += std::to_string(i % 9973 * (i % 9973) % 9973) + (i % 7 == 0 ? "\n" : " ");
  for (const char* name : {"pieces.json", "pieces.json.gz"}) {
    AtomicFile file(Path(name));
    for (std::size_t at = 0, size = 1; at < text.size(); at += size, size = size * 3 % 70001)
      file.Write(std::string_view(text).substr(at, size));
    file.Place();
    WriteFileAtomically(Path((std::string("whole-") + name).c_str()), text);
    EXPECT_EQ(Bytes(Path(name)), Bytes(Path((std::string("whole-") + name).c_str()))) << name;
    EXPECT_EQ(ReadFile(Path(name)), text);
    Sha256Stream digest;
    ReadPieces(Path(name), [&](std::string_view piece) { digest.Add(piece); });
    EXPECT_EQ(digest.Hex(), Sha256(text));
  }
  { AtomicFile(Path("pieces.json")).Write("never placed"); }
  EXPECT_EQ(ReadFile(Path("pieces.json")), text);
  EXPECT_EQ(Files(), 4u);
}

TEST_F(ReportFiles, AReportThatNobodyWouldReadIsNotWritten) {
  Report rest = Sample();
  ReportCase item = rest.cases[2];
  CaseTotals totals;
  totals.Add(item);
  rest.cases.clear();
  item.reason.assign(32 << 20, 'x');
  std::size_t bytes = 0;
  const auto endless = [&](const auto& take) {
    for (int i = 0; i < 64; ++i) take(item);
  };
  EXPECT_THROW(WriteReport(rest, totals, endless, [&](std::string_view piece) { bytes += piece.size(); }), ReportError);
  EXPECT_GT(bytes, kLargestReport - (33 << 20));
  EXPECT_LE(bytes, kLargestReport);
}

TEST_F(ReportFiles, BrokenCompressedFilesAreRefused) {
  const std::string bytes = Compressed("some text that is long enough");
  for (const std::string& text : {std::string("some text that is long enough"), std::string()}) {
    std::ofstream(Path("whole.gz"), std::ios::binary) << Compressed(text);
    EXPECT_EQ(ReadFile(Path("whole.gz")), text);
  }
  std::string flipped = bytes;
  flipped[flipped.size() - 6] ^= 1;
  for (const std::string& broken : {bytes.substr(0, bytes.size() - 1), bytes.substr(0, 5), bytes + "x",
                                    std::string("{}"), std::string(), flipped}) {
    std::ofstream(Path("broken.gz"), std::ios::binary) << broken;
    try {
      ReadFile(Path("broken.gz"));
      FAIL() << broken.size();
    } catch (const ReportError& error) {
      EXPECT_NE(std::string(error.what()).find(Path("broken.gz")), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace assay

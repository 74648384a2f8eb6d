// Report files that are whole or absent, whatever happens while they are written.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "reports/format/gzip.h"
#include "reports/format/report.h"

namespace assay {

// Puts text at a path in one step: temporary file beside it, fsync, rename, fsync of the folder. Whoever reads `path`
// sees the old content or the new, never a part. Throws ReportError naming path and cause; then `path` is as it was.
// A link stays a link, and mode and, where that is allowed, owner stay those of the file that is replaced; what is
// there and no regular file is refused. A path that ends in ".gz" is written compressed. The temporary file has a name
// of its own (.assay-*.tmp): one that a killed process left is in nobody's way.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();  // without Place nothing has happened
  void Write(std::string_view piece);
  void Place();

 private:
  class Temporary;
  void WriteOut(std::string_view bytes);
  const std::string asked_, target_;
  std::unique_ptr<Temporary> temporary_;
  std::unique_ptr<Compressor> compressor_;  // null: the file is plain
  std::string pending_;
};
void WriteFileAtomically(const std::string& path, std::string_view text);

// Reads a whole regular file of at most kLargestReport bytes, and decompresses it when its path ends in ".gz". Throws
// ReportError naming it.
std::string ReadFile(const std::string& path);
// The same from an open descriptor, of any kind.
std::string ReadStream(int fd, const std::string& path);
// The text of such a file, piece by piece.
void ReadPieces(const std::string& path, const PieceTaker& take);

// A file that grows line by line under the name PATH.part and gets its own name when it is whole: whoever reads PATH
// sees all of it or nothing. Throws ReportError naming path and cause.
class GrowingFile {
 public:
  explicit GrowingFile(std::string path);
  ~GrowingFile();  // leaves PATH.part unless Close came before
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  void Append(std::string_view text);
  void Close();  // fsync, rename, fsync of the folder

 private:
  std::string path_;
  int fd_ = -1;
};

// The report file of a run. Until Finish it holds the report so far, marked incomplete, so that a run that dies leaves
// a file that says so and keeps what it had found.
class ReportFile {
 public:
  ReportFile(std::string path, const Report& begun);
  void Update(Report so_far);
  // Marks `report` complete unless it names problems.
  void Finish(Report report);

 private:
  std::string path_;
};

}  // namespace assay

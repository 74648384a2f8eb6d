#include "reports/format/writer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "reports/format/gzip.h"

namespace assay {
namespace {

[[noreturn]] void Fail(const char* doing, const std::string& path, int error) {
  throw ReportError(fmt::format("{} {}: {}", doing, path, std::strerror(error)));
}

class Descriptor {
 public:
  Descriptor(const std::string& path, const std::string& asked, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0644)) {
    if (fd_ < 0) Fail("cannot open", asked, errno);
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Errors name `asked`, the path that the user knows.
void WriteText(int fd, const std::string& asked, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) Fail("cannot write", asked, errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void WriteAll(const std::string& path, const std::string& asked, std::string_view text) {
  const Descriptor file(path, asked, O_WRONLY | O_CREAT | O_EXCL);
  WriteText(file.get(), asked, text);
  if (::fsync(file.get()) != 0) Fail("cannot write", asked, errno);
}

void SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const Descriptor directory(folder.empty() ? "." : folder, folder, O_RDONLY | O_DIRECTORY);
  // Some file systems refuse to sync a folder; the file itself is safe by then.
  if (::fsync(directory.get()) != 0 && errno != EINVAL) Fail("cannot sync", folder, errno);
}

}  // namespace

void WriteFileAtomically(const std::string& asked, std::string_view text) {
  const std::string packed = IsGzipPath(asked) ? Compressed(text) : std::string();
  // A link stays and what it points to is replaced; devices, pipes and folders are not replaced by a file.
  std::error_code error;
  const std::filesystem::path target = std::filesystem::weakly_canonical(asked, error);
  const std::string path = error ? asked : target.string();
  if (std::filesystem::exists(path, error) && !std::filesystem::is_regular_file(path, error))
    throw ReportError(fmt::format("cannot replace {}: it is not a regular file", asked));
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  try {
    WriteAll(temporary, asked, IsGzipPath(asked) ? packed : text);
    if (std::rename(temporary.c_str(), path.c_str()) != 0) Fail("cannot replace", asked, errno);
  } catch (...) {
    std::remove(temporary.c_str());
    throw;
  }
  SyncFolderOf(path);
}

std::string ReadFile(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    throw ReportError(fmt::format("cannot read {}: it is a folder", path));
  std::ifstream in(path, std::ios::binary);
  if (!in) Fail("cannot open", path, errno);
  std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (in.bad()) throw ReportError(fmt::format("cannot read {}", path));
  return IsGzipPath(path) ? Decompressed(text, path) : text;
}

GrowingFile::GrowingFile(std::string path) : path_(std::move(path)) {
  fd_ = ::open((path_ + ".part").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) Fail("cannot open", path_, errno);
}

GrowingFile::~GrowingFile() {
  if (fd_ >= 0) ::close(fd_);
}

void GrowingFile::Append(std::string_view text) { WriteText(fd_, path_, text); }

void GrowingFile::Close() {
  if (::fsync(fd_) != 0) Fail("cannot write", path_, errno);
  ::close(std::exchange(fd_, -1));
  if (std::rename((path_ + ".part").c_str(), path_.c_str()) != 0) Fail("cannot replace", path_, errno);
  SyncFolderOf(path_);
}

ReportFile::ReportFile(std::string path, const Report& begun) : path_(std::move(path)) { Update(begun); }

void ReportFile::Update(Report so_far) {
  so_far.complete = false;
  so_far.finished.clear();
  so_far.problems.push_back("the run did not finish");
  WriteFileAtomically(path_, ToJson(so_far));
}

void ReportFile::Finish(Report report) {
  report.complete = report.problems.empty();
  WriteFileAtomically(path_, ToJson(report));
}

}  // namespace assay

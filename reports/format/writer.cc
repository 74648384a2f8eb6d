#include "reports/format/writer.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "reports/format/gzip.h"

namespace assay {
namespace {

constexpr std::size_t kBlock = 1 << 16;

[[noreturn]] void Fail(const char* doing, const std::string& path, int error) {
  throw ReportError(fmt::format("{} {}: {}", doing, path, std::strerror(error)));
}

class Descriptor {
 public:
  // A mode is what the umask leaves of it.
  Descriptor(const std::string& path, const std::string& asked, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {
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

void SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A folder may be written to that may not be read, and some file systems refuse to sync one; the file is in its
  // place.
  if (fd < 0 && errno == EACCES) return;
  if (fd < 0) Fail("cannot open", folder, errno);
  const int error = ::fsync(fd) == 0 ? 0 : errno;
  ::close(fd);
  if (error != 0 && error != EINVAL) Fail("cannot sync", folder, error);
}

// Where links lead, a link to nothing too: what is there is replaced, the links stay.
std::string TargetOf(const std::string& asked) {
  std::filesystem::path path = asked;
  std::error_code error;
  for (int links = 0; std::filesystem::is_symlink(path, error); ++links) {
    if (links == 40) Fail("cannot follow", asked, ELOOP);
    path = path.parent_path() / std::filesystem::read_symlink(path, error);
  }
  return path.string();
}

// The text of what an open descriptor gives.
void ReadPieces(int fd, const std::string& path, const PieceTaker& take) {
  std::size_t bytes = 0, text = 0;
  const PieceTaker checked = [&](std::string_view piece) {
    text += piece.size();
    if (text > kLargestReport) throw ReportError(fmt::format("cannot read {}: more than 1 GiB of text", path));
    take(piece);
  };
  Decompressor decompressor(path, checked);
  for (std::string block(kBlock, '\0');;) {
    const ssize_t got = ::read(fd, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) Fail("cannot read", path, errno);
    if (got == 0) break;
    bytes += static_cast<std::size_t>(got);
    if (bytes > kLargestReport)
      throw ReportError(fmt::format("cannot read {}: more than {} bytes", path, kLargestReport));
    const std::string_view piece(block.data(), static_cast<std::size_t>(got));
    if (IsGzipPath(path))
      decompressor.Add(piece);
    else
      checked(piece);
  }
  if (IsGzipPath(path)) decompressor.End();
}

}  // namespace

// A file beside `target` that nobody else writes: processes in containers share a process id, so its name is drawn.
// Removed unless it was put in the target's place.
class AtomicFile::Temporary {
 public:
  Temporary(const std::string& target, std::string asked)
      : asked_(std::move(asked)),
        target_(target),
        path_((std::filesystem::path(target).parent_path() / fmt::format(".assay-{}.tmp", Drawn())).string()),
        file_(path_, asked_, O_WRONLY | O_CREAT | O_EXCL) {}
  ~Temporary() {
    if (!placed_) std::remove(path_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  void Write(std::string_view text) { WriteText(file_.get(), asked_, text); }

  // Whoever could read or write what was there still can.
  void Place() {
    if (::fsync(file_.get()) != 0) Fail("cannot write", asked_, errno);
    struct ::stat before {};
    if (::stat(target_.c_str(), &before) == 0) {
      if (::fchown(file_.get(), before.st_uid, before.st_gid) != 0) {
        // Only root may give files away.
      }
      if (::fchmod(file_.get(), before.st_mode & 07777) != 0) Fail("cannot set the mode of", asked_, errno);
    }
    if (std::rename(path_.c_str(), target_.c_str()) != 0) Fail("cannot replace", asked_, errno);
    placed_ = true;
  }

 private:
  static std::string Drawn() {
    std::random_device source;
    return fmt::format("{:08x}{:08x}{:08x}", source(), source(), source());
  }

  const std::string asked_, target_, path_;
  Descriptor file_;
  bool placed_ = false;
};

AtomicFile::AtomicFile(std::string path) : asked_(std::move(path)), target_(TargetOf(asked_)) {
  // Devices, pipes and folders are not replaced by a file.
  std::error_code error;
  if (std::filesystem::exists(target_, error) && !std::filesystem::is_regular_file(target_, error))
    throw ReportError(fmt::format("cannot replace {}: it is not a regular file", asked_));
  temporary_ = std::make_unique<Temporary>(target_, asked_);
  if (IsGzipPath(asked_))
    compressor_ = std::make_unique<Compressor>([this](std::string_view bytes) { WriteOut(bytes); });
}

AtomicFile::~AtomicFile() = default;

void AtomicFile::Write(std::string_view piece) {
  if (compressor_)
    compressor_->Add(piece);
  else
    WriteOut(piece);
}

void AtomicFile::Place() {
  if (compressor_) compressor_->End();
  temporary_->Write(pending_);
  temporary_->Place();
  SyncFolderOf(target_);
}

void AtomicFile::WriteOut(std::string_view bytes) {
  pending_ += bytes;
  if (pending_.size() < kBlock) return;
  temporary_->Write(pending_);
  pending_.clear();
}

void WriteFileAtomically(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.Write(text);
  file.Place();
}

void ReadPieces(const std::string& path, const PieceTaker& take) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  const Descriptor file(path, path, O_RDONLY | O_NONBLOCK);
  struct ::stat info {};
  if (::fstat(file.get(), &info) != 0) Fail("cannot read", path, errno);
  if (S_ISDIR(info.st_mode)) throw ReportError(fmt::format("cannot read {}: it is a folder", path));
  if (!S_ISREG(info.st_mode)) throw ReportError(fmt::format("cannot read {}: it is a device, pipe or socket", path));
  ReadPieces(file.get(), path, take);
}

std::string ReadFile(const std::string& path) {
  std::string text;
  ReadPieces(path, [&](std::string_view piece) { text += piece; });
  return text;
}

std::string ReadStream(int fd, const std::string& path) {
  std::string text;
  ReadPieces(fd, path, [&](std::string_view piece) { text += piece; });
  return text;
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

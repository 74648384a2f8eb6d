#include "engine/weights/input_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "engine/base/check.h"
#include "engine/base/parallel.h"

namespace assay {

std::shared_ptr<const InputFile> InputFile::Open(const std::string& path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  Require(fd >= 0, "{}: cannot open for reading: {}", path, std::strerror(errno));
  return std::shared_ptr<const InputFile>(new InputFile(path, fd));
}

InputFile::InputFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {
  try {
    const struct ::stat info = Stat();
    Require(!S_ISDIR(info.st_mode), "{}: expected a file, found a folder", path_);
    Require(S_ISREG(info.st_mode), "{}: expected a regular file, found a device, pipe or socket", path_);
    Require(info.st_size > 0, "{}: the file is empty", path_);
    size_ = static_cast<std::uint64_t>(info.st_size);
    modified_seconds_ = info.st_mtim.tv_sec;
    modified_nanoseconds_ = info.st_mtim.tv_nsec;
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

InputFile::~InputFile() { ::close(fd_); }

struct ::stat InputFile::Stat() const {
  struct ::stat info {};
  Require(::fstat(fd_, &info) == 0, "{}: cannot read the file's size: {}", path_, std::strerror(errno));
  return info;
}

void InputFile::CheckUnchanged(std::string_view what) const {
  const struct ::stat info = Stat();
  Require(static_cast<std::uint64_t>(info.st_size) == size_,
          "{}: {}: the file changed while open: {} bytes when opened, {} now", path_, what, size_, info.st_size);
  Require(info.st_mtim.tv_sec == modified_seconds_ && info.st_mtim.tv_nsec == modified_nanoseconds_,
          "{}: {}: the file was rewritten while open", path_, what);
}

void InputFile::Read(std::span<std::byte> out, std::uint64_t offset, std::string_view what) const {
  Require(offset <= size_ && out.size() <= size_ - offset, "{}: {}: bytes {} + {} lie beyond the file's {}", path_,
          what, offset, out.size(), size_);
  // One thread copies from the page cache more slowly than a device takes it.
  constexpr std::int64_t kPiece = std::int64_t{4} << 20;
  ParallelFor(static_cast<std::int64_t>(out.size()), kPiece, [&](std::int64_t begin, std::int64_t end) {
    for (auto done = static_cast<std::size_t>(begin), upto = static_cast<std::size_t>(end); done < upto;) {
      const std::size_t piece = std::min<std::size_t>(upto - done, std::size_t{1} << 30);
      const ssize_t got = ::pread(fd_, out.data() + done, piece, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      Require(got >= 0, "{}: {}: read failed at byte {}: {}", path_, what, offset + done, std::strerror(errno));
      Require(got > 0, "{}: {}: the file shrank while open: it ends at byte {}, {} were expected", path_, what,
              offset + done, size_);
      done += static_cast<std::size_t>(got);
    }
  });
  // After the copy: whatever was rewritten before or while it was read is seen here.
  CheckUnchanged(what);
}

std::shared_ptr<const std::byte> InputFile::ReadBlock(std::uint64_t offset, std::size_t bytes,
                                                      std::string_view what) const {
  // Before the allocation, so that a hostile size costs nothing.
  Require(offset <= size_ && bytes <= size_ - offset, "{}: {}: bytes {} + {} lie beyond the file's {}", path_, what,
          offset, bytes, size_);
  std::shared_ptr<std::byte> block = AllocateBlock(bytes, what);
  Read({block.get(), bytes}, offset, what);
  return block;
}

std::shared_ptr<std::byte> AllocateBlock(std::size_t bytes, std::string_view what) {
  // Fresh memory costs a fault a page: large blocks take large pages where the system gives them.
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  const std::size_t align = bytes >= 4 * kHugePage ? kHugePage : 64;
  void* block = nullptr;
  if (bytes <= std::numeric_limits<std::size_t>::max() - align) {
    const std::size_t whole = std::max<std::size_t>((bytes + align - 1) / align, 1) * align;
    block = std::aligned_alloc(align, whole);
    if (block != nullptr && align == kHugePage) (void)::madvise(block, whole, MADV_HUGEPAGE);
  }
  if (block == nullptr) throw OutOfMemory(fmt::format("{}: no memory for {} bytes on the host", what, bytes), bytes, 0);
  return {static_cast<std::byte*>(block), [](std::byte* p) { std::free(p); }};
}

}  // namespace assay

// A checkpoint file opened for reading: its size is fixed when it is opened, and every read is checked against it.
//
// Bytes are copied out with pread and not handed out as views of a mapping: a mapped file that another process
// truncates or rewrites raises SIGBUS (or silently changes weights) in the middle of a computation, where no message
// can name the file; a copied tensor either is the one that was opened or Read throws. Nothing but what is asked for is
// read: opening costs no memory, and the kernel's page cache is shared between processes as it is with a mapping.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace assay {

// Thread-safe for concurrent reads. Symbolic links are followed (download caches use them); pipes, devices and folders
// are refused.
class InputFile {
 public:
  // Throws InputError naming `path` when it is missing, unreadable, empty or not a regular file.
  static std::shared_ptr<const InputFile> Open(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }  // bytes, when opened
  // When it was last written, in nanoseconds, when opened: tells two contents apart, and is no time to show.
  std::uint64_t modified() const {
    return static_cast<std::uint64_t>(modified_seconds_) * 1'000'000'000u +
           static_cast<std::uint64_t>(modified_nanoseconds_);
  }

  // Fills `out` from `offset`. Throws InputError naming the file and `what` (a tensor, "header") when the range leaves
  // the file, or when the file was truncated or rewritten since it was opened.
  void Read(std::span<std::byte> out, std::uint64_t offset, std::string_view what) const;
  // The same into a fresh block of `bytes`, aligned to 64. Throws OutOfMemory when it does not fit.
  std::shared_ptr<const std::byte> ReadBlock(std::uint64_t offset, std::size_t bytes, std::string_view what) const;

 private:
  InputFile(std::string path, int fd);
  struct ::stat Stat() const;
  void CheckUnchanged(std::string_view what) const;

  std::string path_;
  int fd_;
  std::uint64_t size_ = 0;
  std::int64_t modified_seconds_ = 0, modified_nanoseconds_ = 0;
};

// A block of `bytes` (at least 1) aligned to 64, uninitialised. Throws OutOfMemory naming `what`.
std::shared_ptr<std::byte> AllocateBlock(std::size_t bytes, std::string_view what);

}  // namespace assay

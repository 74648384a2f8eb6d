#include "suites/systems/shared_rows.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "suites/systems/wire.h"

namespace assay {
namespace {

std::size_t SizeOf(int descriptor) {
  struct stat status {};
  Require(::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode), "descriptor {} is no file", descriptor);
  return static_cast<std::size_t>(status.st_size);
}

std::size_t WithStamp(std::size_t count) { return count * sizeof(float) + sizeof(std::int64_t); }

}  // namespace

SharedRows::SharedRows() : descriptor_(::memfd_create("assay rows", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
  if (descriptor_ >= 0 && ::fcntl(descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) == 0) return;
  const int error = errno;
  if (descriptor_ >= 0) ::close(descriptor_);
  Throw<Error>("no memory to share: {}", std::strerror(error));
}

SharedRows::SharedRows(int descriptor) : descriptor_(descriptor) { SizeOf(descriptor); }

SharedRows::~SharedRows() {
  if (!mapped_.empty()) ::munmap(mapped_.data(), mapped_.size());
  ::close(descriptor_);
}

void SharedRows::Map(std::size_t bytes, int protection) {
  if (bytes <= mapped_.size()) return;
  if (!mapped_.empty()) ::munmap(mapped_.data(), mapped_.size());
  mapped_ = {};
  void* const start = ::mmap(nullptr, bytes, protection, MAP_SHARED | MAP_POPULATE, descriptor_, 0);
  if (start == MAP_FAILED) Throw<Error>("{} bytes of shared rows: {}", bytes, std::strerror(errno));
  mapped_ = {static_cast<std::byte*>(start), bytes};
}

float* SharedRows::Room(std::size_t count) {
  const std::size_t bytes = WithStamp(count);
  if (SizeOf(descriptor_) < bytes) {
    int code = 0;
    do code = ::posix_fallocate(descriptor_, 0, static_cast<off_t>(bytes));
    while (code == EINTR);
    if (code != 0) throw OutOfMemory(fmt::format("{} bytes of shared rows: {}", bytes, std::strerror(code)), bytes, 0);
  }
  Map(bytes, PROT_READ | PROT_WRITE);
  return reinterpret_cast<float*>(mapped_.data());
}

void SharedRows::Stamp(std::size_t count, std::int64_t stamp) {
  std::memcpy(mapped_.data() + count * sizeof(float), &stamp, sizeof stamp);
}

void SharedRows::Read(const std::vector<RowsPart>& parts, std::int64_t stamp) {
  std::size_t count = 0;
  for (const RowsPart& part : parts) count += part.count;
  const std::size_t bytes = WithStamp(count), size = SizeOf(descriptor_);
  Require<WireError>(size >= bytes, "shared rows that end after {} bytes, expected {}", size, bytes);
  Map(bytes, PROT_READ);
  const auto* from = reinterpret_cast<const float*>(mapped_.data());
  std::vector<std::pair<std::vector<float>*, std::span<const float>>> copies;
  for (const RowsPart& part : parts) {
    for (std::vector<float>* to : {part.to, part.also}) {
      if (to == nullptr) continue;
      to->reserve(part.count);
      copies.emplace_back(to, std::span(from, part.count));
    }
    from += part.count;
  }
  ParallelFor(std::ssize(copies), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      copies[i].first->assign(copies[i].second.begin(), copies[i].second.end());
  });
  std::int64_t found = 0;
  std::memcpy(&found, from, sizeof found);
  Require<WireError>(found == stamp, "shared rows stamped {}, expected {}: they were not written for this answer",
                     found, stamp);
}

}  // namespace assay

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "engine/base/check.h"
#include "engine/memory/memory.h"

namespace assay {

namespace {
constexpr std::size_t kAlignment = 256;
}

void* HostMemory::Allocate(std::size_t bytes, const std::string& what) {
  const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  void* data = rounded < bytes ? nullptr : std::aligned_alloc(kAlignment, rounded == 0 ? kAlignment : rounded);
  if (data == nullptr)
    throw OutOfMemory(fmt::format("{}: {} bytes do not fit in host memory ({} bytes free)", what, bytes, FreeBytes()),
                      bytes, FreeBytes());
  meter_.Add(data, bytes);
  return data;
}

void HostMemory::Free(void* data) noexcept {
  meter_.Remove(data);
  std::free(data);
}
void HostMemory::CopyIn(void* to, const void* host_from, std::size_t bytes) { Copy(to, host_from, bytes); }
void HostMemory::CopyOut(void* host_to, const void* from, std::size_t bytes) { Copy(host_to, from, bytes); }
void HostMemory::Copy(void* to, const void* from, std::size_t bytes) {
  if (bytes != 0) std::memmove(to, from, bytes);
}
void HostMemory::Fill(void* to, unsigned char byte, std::size_t bytes) {
  if (bytes != 0) std::memset(to, byte, bytes);
}

std::size_t HostMemory::FreeBytes() const {
  const long pages = sysconf(_SC_AVPHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? std::int64_t{pages} * size : 0;
}

}  // namespace assay

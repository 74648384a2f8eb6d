// Pinned host memory through which pageable bytes go to a device and come from it. Needs the CUDA toolkit.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "engine/memory/cuda_stream.h"
#include "engine/memory/memory.h"

namespace assay {

struct PinnedTraits {
  static void Destroy(std::byte* data) noexcept;
};
using PinnedBytes = CudaOwner<std::byte*, PinnedTraits>;

// Two pieces, of which one is filled or emptied by the host's threads while the other is copied. They grow with what is
// asked for, to 32 MiB each. Copies are ordered on `stream` of `device`, which is current whenever a method runs.
class CudaStaging {
 public:
  CudaStaging(int device, cudaStream_t stream) : device_(device), stream_(stream) {}
  // Returns when `host_from` has been read; the copies may still be under way.
  void CopyIn(void* to, const void* host_from, std::size_t bytes);
  // Returns when the bytes of all parts are there, and all work ahead of them in the stream has ended. How often the
  // host waited: once for each piece that was needed.
  int CopyOut(std::span<const Memory::Part> parts);

 private:
  struct Landing {
    void* host_to;
    const std::byte* from;
    std::size_t bytes;
  };
  struct Piece {
    PinnedBytes data;
    std::size_t size = 0, used = 0;
    CudaEvent done;                 // recorded behind the copies of a full piece
    bool under_way = false;         // until `done` has been waited for
    std::vector<Landing> landings;  // what goes to the caller then
  };
  // `bytes` of the current piece, or of the other one when they do not fit any more.
  std::byte* Take(std::size_t bytes);
  void Finish(Piece& piece);
  void Empty(Piece& piece);

  int device_;
  cudaStream_t stream_;
  std::array<Piece, 2> pieces_;
  int current_ = 0, waits_ = 0;
};

}  // namespace assay

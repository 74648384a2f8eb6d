#include "engine/memory/cuda_staging.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/base/parallel.h"

namespace assay {
namespace {

constexpr std::size_t kLeastPiece = std::size_t{64} << 10, kMostPiece = std::size_t{32} << 20;

// One thread reads a host's memory more slowly than a device takes it.
void CopyByMany(void* to, const void* from, std::size_t bytes) {
  constexpr std::size_t kGrain = std::size_t{256} << 10;
  if (bytes <= 2 * kGrain) {
    std::memcpy(to, from, bytes);
    return;
  }
  ParallelFor(static_cast<std::int64_t>(bytes), kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::memcpy(static_cast<std::byte*>(to) + begin, static_cast<const std::byte*>(from) + begin,
                static_cast<std::size_t>(end - begin));
  });
}

PinnedBytes Pin(std::size_t bytes) {
  void* data = nullptr;
  ASSAY_CUDA(cudaHostAlloc(&data, bytes, cudaHostAllocDefault));
  return PinnedBytes(static_cast<std::byte*>(data));
}

}  // namespace

void PinnedTraits::Destroy(std::byte* data) noexcept { ASSAY_CUDA_NOEXCEPT(cudaFreeHost(data)); }

void CudaStaging::Finish(Piece& piece) {
  if (piece.used == 0 || piece.under_way) return;
  if (!piece.done) piece.done = MakeEvent(device_);
  ASSAY_CUDA(cudaEventRecord(piece.done.get(), stream_));
  piece.under_way = true;
}

void CudaStaging::Empty(Piece& piece) {
  if (piece.under_way) {
    ASSAY_CUDA(cudaEventSynchronize(piece.done.get()));
    ++waits_;
  }
  for (const Landing& landing : piece.landings) CopyByMany(landing.host_to, landing.from, landing.bytes);
  piece.landings.clear();
  piece.under_way = false;
  piece.used = 0;
}

std::byte* CudaStaging::Take(std::size_t bytes) {
  if (Piece& piece = pieces_[current_]; piece.used + bytes > piece.size) {
    Finish(piece);
    current_ = 1 - current_;
    Piece& next = pieces_[current_];
    Empty(next);
    if (next.size < bytes) {
      next.data = PinnedBytes();
      next.size = 0;
      const std::size_t size = std::clamp(std::bit_ceil(bytes), kLeastPiece, kMostPiece);
      next.data = Pin(size);
      next.size = size;
    }
  }
  Piece& piece = pieces_[current_];
  std::byte* const taken = piece.data.get() + piece.used;
  piece.used += bytes;
  return taken;
}

void CudaStaging::CopyIn(void* to, const void* host_from, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes;) {
    const std::size_t some = std::min(bytes - at, kMostPiece);
    std::byte* const piece = Take(some);
    CopyByMany(piece, static_cast<const std::byte*>(host_from) + at, some);
    ASSAY_CUDA(cudaMemcpyAsync(static_cast<std::byte*>(to) + at, piece, some, cudaMemcpyHostToDevice, stream_));
    at += some;
  }
}

int CudaStaging::CopyOut(std::span<const Memory::Part> parts) {
  // Nobody may write to the caller's arrays later when this throws.
  struct NoLandings {
    std::array<Piece, 2>& pieces;
    ~NoLandings() {
      for (Piece& piece : pieces) piece.landings.clear();
    }
  };
  const NoLandings none_left{pieces_};
  const int before = waits_;
  for (const Memory::Part& part : parts) {
    for (std::size_t at = 0; at < part.bytes;) {
      const std::size_t some = std::min(part.bytes - at, kMostPiece);
      std::byte* const piece = Take(some);
      ASSAY_CUDA(
          cudaMemcpyAsync(piece, static_cast<const std::byte*>(part.from) + at, some, cudaMemcpyDeviceToHost, stream_));
      pieces_[current_].landings.push_back({static_cast<std::byte*>(part.host_to) + at, piece, some});
      at += some;
    }
  }
  Finish(pieces_[current_]);
  Empty(pieces_[1 - current_]);
  Empty(pieces_[current_]);
  return waits_ - before;
}

}  // namespace assay

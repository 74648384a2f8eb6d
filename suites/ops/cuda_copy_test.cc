// Copies between a host's memory and a device's, of every size and kind of caller, and how fast they are.
#include <cuda_runtime_api.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <vector>

#include "engine/base/random.h"
#include "engine/memory/cuda_check.h"
#include "engine/ops/ops_factory.h"
#include "engine/testing/scratch_folder.h"
#include "suites/ops/checks.h"

namespace assay {
namespace {

constexpr std::size_t kPiece = std::size_t{32} << 20;

class CudaCopy : public testing::Test {
 protected:
  void SetUp() override {
    if (const Support support = DeviceAvailable(Device::Cuda(0)); !support) GTEST_SKIP() << support.reason;
    ops_ = MakeOps(Device::Cuda(0), Precision::kBf16);
  }
  Memory& memory() { return ops_->memory(); }
  std::int64_t waits() const { return ops_->counters().host_syncs; }

  std::unique_ptr<Ops> ops_;
};

std::vector<std::uint64_t> Words(std::uint64_t key, std::size_t bytes) {
  std::vector<std::uint64_t> words((bytes + 7) / 8);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = RandomBits(key, i);
  return words;
}

TEST_F(CudaCopy, BytesOfEverySizeComeBack) {
  std::uint64_t key = 0;
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{4095}, std::size_t{65535}, std::size_t{65536}, std::size_t{65537}, kPiece - 1,
        kPiece, kPiece + 1, 3 * kPiece + 12345, std::size_t{7}, std::size_t{70000}}) {
    SCOPED_TRACE(bytes);
    const Buffer buffer(memory(), bytes, "bytes");
    std::vector<std::uint64_t> sent = Words(++key, bytes), found(sent.size());
    const std::vector<std::uint64_t> expected = sent;
    memory().CopyIn(buffer.data(), sent.data(), bytes);
    std::memset(sent.data(), 0, 8 * sent.size());  // CopyIn has returned: the caller may
    memory().CopyOut(found.data(), buffer.data(), bytes);
    EXPECT_EQ(std::memcmp(found.data(), expected.data(), bytes), 0);
  }
}

// What a copy engine reads later must not have been overwritten by then.
TEST_F(CudaCopy, PinnedCallersMayReuseTheirMemoryToo) {
  void* pinned = nullptr;
  ASSAY_CUDA(cudaHostAlloc(&pinned, kPiece, cudaHostAllocDefault));
  const Buffer buffer(memory(), kPiece, "bytes");
  for (std::uint64_t key = 1; key < 20; ++key) {
    const std::vector<std::uint64_t> expected = Words(key, kPiece);
    std::memcpy(pinned, expected.data(), kPiece);
    memory().CopyIn(buffer.data(), pinned, kPiece);
    std::memset(pinned, 0, kPiece);
    std::vector<std::uint64_t> found(expected.size());
    memory().CopyOut(found.data(), buffer.data(), kPiece);
    ASSERT_EQ(found, expected) << key;
  }
  ASSAY_CUDA(cudaFreeHost(pinned));
}

TEST_F(CudaCopy, ManySmallCopiesAndOneWaitForAllParts) {
  constexpr std::size_t kCount = 3000, kBytes = 1000;
  const Buffer buffer(memory(), kCount * kBytes, "parts");
  std::vector<std::vector<std::uint64_t>> sent, found(kCount, std::vector<std::uint64_t>(kBytes / 8));
  std::vector<Memory::Part> parts;
  for (std::size_t i = 0; i < kCount; ++i) {
    sent.push_back(Words(i, kBytes));
    memory().CopyIn(buffer.as<std::byte>() + i * kBytes, sent.back().data(), kBytes);
    parts.push_back({found[i].data(), buffer.as<std::byte>() + i * kBytes, kBytes});
  }
  memory().CopyOutAll(parts);
  EXPECT_EQ(found, sent);
  // Once the pieces are as large as what is asked for, there is one wait.
  const std::vector<std::uint64_t> large = Words(1, kPiece);
  std::vector<std::uint64_t> back(large.size());
  const Buffer all(memory(), kPiece, "a piece");
  memory().CopyIn(all.data(), large.data(), kPiece);
  memory().CopyOut(back.data(), all.data(), kPiece);
  const std::int64_t before = waits();
  const Memory::Part two[] = {{back.data(), all.data(), kPiece / 2},
                              {back.data() + kPiece / 16, all.as<std::byte>() + kPiece / 2, kPiece / 2}};
  memory().CopyOutAll(two);
  EXPECT_EQ(waits() - before, 1);
  EXPECT_EQ(back, large);
}

double GigabytesPerSecond(std::size_t bytes, const std::function<void()>& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return 1e-9 * static_cast<double>(bytes) /
         std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A checkpoint in the page cache, against what the bus gives to pinned memory. Prints both.
TEST_F(CudaCopy, AFileInThePageCacheIsCopiedAboutAsFastAsTheBusAllows) {
  constexpr std::size_t kBytes = std::size_t{2} << 30;
  const ScratchFolder folder;
  const std::string path = folder.Put("weights.bin", std::string());
  const int file = ::open(path.c_str(), O_RDWR);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::ftruncate(file, kBytes), 0);
  void* const mapped = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  ASSERT_NE(mapped, MAP_FAILED);
  std::memset(mapped, 1, kBytes);
  const Buffer buffer(memory(), kBytes, "weights");
  void* pinned = nullptr;
  ASSAY_CUDA(cudaHostAlloc(&pinned, kPiece, cudaHostAllocDefault));
  double bus = 0, copied = 0;
  for (int run = 0; run < 3; ++run) {
    bus = std::max(bus, GigabytesPerSecond(kBytes, [&] {
                     for (std::size_t at = 0; at < kBytes; at += kPiece)
                       ASSAY_CUDA(cudaMemcpyAsync(buffer.as<std::byte>() + at, pinned, kPiece, cudaMemcpyHostToDevice));
                     ASSAY_CUDA(cudaDeviceSynchronize());
                   }));
    copied = std::max(copied, GigabytesPerSecond(kBytes, [&] {
                        memory().CopyIn(buffer.data(), mapped, kBytes);
                        ops_->Synchronize();
                      }));
  }
  ASSAY_CUDA(cudaFreeHost(pinned));
  ::munmap(mapped, kBytes);
  fmt::print("from the page cache {:.1f} GB/s, the bus gives {:.1f}: {:.0f} %\n", copied, bus, 100 * copied / bus);
  EXPECT_GE(copied, 0.5 * bus) << "70 % are aimed at on an idle host";
}

}  // namespace
}  // namespace assay

// What a kernel finds wrong while it runs, told to the host by name. A kernel cannot throw: it stores one word in
// mapped host memory, works on with what is safe, and whoever waits for the stream next throws. Without a fault nothing
// is stored, copied or waited for. Needs the CUDA toolkit.
#pragma once

#include <cstdint>
#include <string>

namespace assay {

enum class KernelFault : std::uint32_t {
  kNone,
  kContextBound,  // value: keys' end of a row; limit: the step's context bound, or the chunks there is room for
  kToken,         // value: token id; limit: rows of the table
  kPosition,      // value: position; limit: 0
  kSession,       // value: session; limit: sessions of the cache
  kArrivals,      // value: an arrival counter's content; limit: the most it may hold then, 0 between kernels
};

// Values and limits are cut to 28 bits, which positions, tokens and sessions fit.
constexpr int kFaultBits = 28;
constexpr std::uint64_t kFaultMask = (std::uint64_t{1} << kFaultBits) - 1;

// The text of a word that is not 0: what was found and what was expected.
std::string FaultText(std::uint64_t word);

// Owns the word. The last of several faults stays.
class FaultWord {
 public:
  explicit FaultWord(int device);
  ~FaultWord();
  FaultWord(const FaultWord&) = delete;
  FaultWord& operator=(const FaultWord&) = delete;
  std::uint64_t* on_device() const { return on_device_; }
  // To be called when the stream is idle: throws DeviceError (device not lost) and forgets the fault.
  void Check();

 private:
  int device_;
  volatile std::uint64_t* word_ = nullptr;
  std::uint64_t* on_device_ = nullptr;
};

}  // namespace assay

// One op call made twice, on the host and on a device, from the same numbers. Every array lies between sentinels;
// outputs and caches start as NaN (all bits set), inputs must come back unchanged.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/ops/ops.h"

namespace assay {

// Row description of a step, owned by one side.
struct SideRows {
  Rows rows;
  std::vector<Segment> segments;
};

class Side {
 public:
  explicit Side(std::unique_ptr<Ops> ops) : ops_(std::move(ops)) {}
  Ops& ops() { return *ops_; }

  // Device arrays with these contents; checked to be unchanged by Check.
  const float* In(const std::vector<float>& values);
  const std::int32_t* In(const std::vector<std::int32_t>& values);
  const Segment* In(const std::vector<Segment>& values);
  const void* InOperand(const std::vector<float>& values);  // rounded to the mode's type
  // Device arrays that the op may change.
  float* InOut(const std::vector<float>& values);
  std::int32_t* InOut(const std::vector<std::int32_t>& values);
  Segment* InOut(const std::vector<Segment>& values);
  void* InOutOperand(const std::vector<float>& values);
  float* Out(std::size_t count) { return static_cast<float*>(Poisoned(count * sizeof(float))); }
  std::int32_t* OutInts(std::size_t count) {
    return static_cast<std::int32_t*>(Poisoned(count * sizeof(std::int32_t)));
  }
  void* OutOperand(std::size_t count) { return Poisoned(count * operand_bytes()); }

  std::vector<float> Read(const float* data, std::size_t count);
  std::vector<std::int32_t> Read(const std::int32_t* data, std::size_t count);
  std::vector<Segment> Read(const Segment* data, std::size_t count);
  std::vector<float> ReadOperand(const void* data, std::size_t count);

  // Rows of these segments; first_row is filled in.
  SideRows MakeRows(std::vector<Segment> segments, int context_bound, const std::vector<std::int32_t>& tokens = {});

  // Fails the test when a sentinel or an input has changed.
  void Check();

  // Frees all arrays.
  void Clear() { arrays_.clear(); }

 private:
  struct Array {
    Buffer buffer;
    std::vector<std::byte> expected;  // inputs: what must still be there
    std::size_t bytes = 0;
  };
  std::size_t operand_bytes() const { return ops_->precision() == Precision::kFp32 ? 4 : 2; }
  std::byte* Place(const void* data, std::size_t bytes, bool constant);
  void* Poisoned(std::size_t bytes);
  std::vector<std::byte> Rounded(const std::vector<float>& values) const;

  std::unique_ptr<Ops> ops_;
  std::vector<Array> arrays_;
};

// Fails the test unless values agree: NaN exactly where the other has NaN; each |a - b| <= worst * max |b|; and
// ||a - b|| <= whole * ||b||.
void ExpectClose(const std::vector<float>& device, const std::vector<float>& host, double whole, double worst,
                 const std::string& what);

// Relative error of a value rounded once to the mode's type, doubled because two sides may round to different
// neighbours.
double RoundingOf(Precision precision);

// The name of a mode as a test parameter.
inline std::string ModeName(const testing::TestParamInfo<Precision>& mode) { return Name(mode.param); }

// Bell-shaped numbers of standard deviation `scale`.
std::vector<float> Numbers(std::uint64_t key, std::size_t count, float scale = 1.0f, float offset = 0.0f);

// Both sides of a test, or the reason why there is no device.
struct Sides {
  std::unique_ptr<Side> host, device;
  std::string missing;
  void Clear() {
    host->Clear();
    device->Clear();
  }
};
Sides MakeSides(Precision precision, bool batch_invariant = false);

}  // namespace assay

#define ASSAY_SIDES(name, precision)         \
  auto name = ::assay::MakeSides(precision); \
  if (!name.missing.empty()) GTEST_SKIP() << name.missing

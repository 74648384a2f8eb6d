// What one op call needs on one device: arrays and row descriptions. A checking fixture puts every array between
// sentinels, starts outputs and caches as NaN (all bits set) and knows what inputs must still hold. A timing fixture
// only allocates, because a benchmark has no use for numbers and a large cache would not fit the host's memory twice.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/ops/ops.h"

namespace assay {

// Row description of a step, owned by one fixture's caller.
struct FixtureRows {
  Rows rows;
  std::vector<Segment> segments;
};

// Floats that are made only when a fixture wants to hold them.
struct Values {
  std::size_t count = 0;
  std::function<std::vector<float>()> make;

  Values() = default;
  Values(std::size_t count_in, std::function<std::vector<float>()> make_in)
      : count(count_in), make(std::move(make_in)) {}
  Values(std::vector<float> values)  // NOLINT: a vector is the plainest kind of values
      : count(values.size()), make([held = std::move(values)] { return held; }) {}
};

// Bell-shaped numbers of standard deviation `scale`, at once or when they are wanted.
std::vector<float> Numbers(std::uint64_t key, std::size_t count, float scale = 1.0f, float offset = 0.0f);
inline Values LazyNumbers(std::uint64_t key, std::size_t count, float scale = 1.0f, float offset = 0.0f) {
  return {count, [=] { return Numbers(key, count, scale, offset); }};
}

// What a weight is prepared from.
struct WeightParts {
  std::vector<HostTensor> parts;
  WeightUse use = WeightUse::kMatrix;
};

class DeviceFixture {
 public:
  enum class Purpose { kCheck, kTime };

  explicit DeviceFixture(std::unique_ptr<Ops> ops) : owned_(std::move(ops)), ops_(*owned_) {}
  // `ops` must outlive the fixture.
  DeviceFixture(Ops& ops, Purpose purpose) : ops_(ops), purpose_(purpose) {}
  Ops& ops() { return ops_; }

  // Device arrays with these contents, which the op must not change. When timing, every byte of floats is 0x3c: a small
  // positive number in any type.
  const float* In(const Values& values);
  const std::int32_t* In(const std::vector<std::int32_t>& values);
  const Segment* In(const std::vector<Segment>& values);
  const void* InOperand(const Values& values);  // rounded to the mode's type of operands
  const void* InCache(const Values& values);    // to that of keys and values
  // Device arrays that the op may change.
  float* InOut(const Values& values);
  std::int32_t* InOut(const std::vector<std::int32_t>& values);
  Segment* InOut(const std::vector<Segment>& values);
  void* InOutOperand(const Values& values);
  void* InOutCache(const Values& values);
  float* Out(std::size_t count) { return static_cast<float*>(Poisoned(count * sizeof(float))); }
  std::int32_t* OutInts(std::size_t count) {
    return static_cast<std::int32_t*>(Poisoned(count * sizeof(std::int32_t)));
  }
  void* OutOperand(std::size_t count) { return Poisoned(count * operand_bytes()); }
  void* OutCache(std::size_t count) { return Poisoned(count * cache_bytes()); }

  std::vector<float> Read(const float* data, std::size_t count);
  std::vector<std::int32_t> Read(const std::int32_t* data, std::size_t count);
  std::vector<Segment> Read(const Segment* data, std::size_t count);
  std::vector<float> ReadOperand(const void* data, std::size_t count) { return ReadAs(operands(), data, count); }
  std::vector<float> ReadCache(const void* data, std::size_t count) { return ReadAs(ops_.precision().kv, data, count); }
  // What the mode's type of operands makes of these values.
  std::vector<float> RoundedToOperand(const std::vector<float>& values) const;

  // Rows of these segments; first_row is filled in.
  FixtureRows MakeRows(std::vector<Segment> segments, int context_bound, const std::vector<std::int32_t>& tokens = {});

  // The weight of these parts. The last one asked for is kept, because a list of cases asks for the same one many times
  // in a row.
  std::shared_ptr<const Weight> Prepared(const std::shared_ptr<const WeightParts>& parts);

  // Fills the scratch memory of a device's ops with NaN, so that an op that reads what it did not write shows it.
  void PoisonScratch();

  // One line for every sentinel or input that has changed.
  std::vector<std::string> Damage();

  // Frees all arrays.
  void Clear() { arrays_.clear(); }

  // Of one element.
  std::size_t operand_bytes() const { return static_cast<std::size_t>(Info(operands()).bytes); }
  std::size_t cache_bytes() const { return static_cast<std::size_t>(Info(ops_.precision().kv).bytes); }

 private:
  struct Array {
    Buffer buffer;
    std::vector<std::byte> expected;  // inputs: what must still be there
    std::size_t bytes = 0;
  };
  std::byte* Put(const void* data, std::size_t bytes, bool constant);
  std::byte* PutFloats(const Values& values, bool constant);
  std::byte* PutAs(DType type, const Values& values, bool constant);
  std::byte* Uniform(std::size_t bytes);
  void* Poisoned(std::size_t bytes);
  std::vector<float> ReadAs(DType type, const void* data, std::size_t count);
  DType operands() const { return ops_.precision().operands; }

  std::unique_ptr<Ops> owned_;
  Ops& ops_;
  Purpose purpose_ = Purpose::kCheck;
  std::vector<Array> arrays_;
  std::shared_ptr<const WeightParts> parts_;
  std::shared_ptr<const Weight> weight_;
};

// Both sides of a comparison, or the reason why there is no device.
struct HostAndDevice {
  std::unique_ptr<DeviceFixture> host, device;
  std::string missing;
  void Clear() {
    host->Clear();
    device->Clear();
  }
};
HostAndDevice MakeHostAndDevice(Precision precision, bool batch_invariant = false);

}  // namespace assay

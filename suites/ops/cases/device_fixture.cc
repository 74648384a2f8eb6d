#include "suites/ops/cases/device_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/quant.h"
#include "engine/base/random.h"
#include "engine/ops/cuda_ops.h"
#include "engine/ops/host_ops.h"
#include "engine/ops/ops_factory.h"

namespace assay {
namespace {

constexpr std::size_t kGuard = 1024;  // bytes before and after an array; keeps arrays 256-byte aligned
constexpr unsigned char kSentinel = 0x5a;
constexpr unsigned char kSmall = 0x3c;  // every byte of a timed input

template <class T>
std::vector<T> Copied(Memory& memory, const void* data, std::size_t count) {
  std::vector<T> values(count);
  if (count > 0) memory.CopyOut(values.data(), data, count * sizeof(T));
  return values;
}

std::vector<std::byte> Rounded(DType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(Info(type).bytes));
  QuantiseRow(type, values.data(), bytes.data(), std::ssize(values));
  return bytes;
}

std::vector<float> Widened(DType type, const std::vector<std::byte>& bytes) {
  std::vector<float> values(bytes.size() / static_cast<std::size_t>(Info(type).bytes));
  DequantiseRow(type, bytes.data(), values.data(), std::ssize(values));
  return values;
}

}  // namespace

std::byte* DeviceFixture::Put(const void* data, std::size_t bytes, bool constant) {
  const std::size_t guard = purpose_ == Purpose::kCheck ? kGuard : 0;
  Array array;
  array.bytes = bytes;
  array.buffer = Buffer(ops_.memory(), bytes + 2 * guard, "array of an op case");
  auto* at = array.buffer.as<std::byte>() + guard;
  if (guard > 0) ops_.memory().Fill(array.buffer.data(), kSentinel, bytes + 2 * guard);
  if (data != nullptr && bytes > 0) ops_.memory().CopyIn(at, data, bytes);
  if (data == nullptr && bytes > 0) ops_.memory().Fill(at, 0xff, bytes);
  if (constant && guard > 0) {
    const auto* from = static_cast<const std::byte*>(data);
    array.expected.assign(from, from + bytes);
  }
  arrays_.push_back(std::move(array));
  return at;
}

std::byte* DeviceFixture::Uniform(std::size_t bytes) {
  Array array;
  array.bytes = bytes;
  array.buffer = Buffer(ops_.memory(), bytes, "array of an op case");
  auto* at = array.buffer.as<std::byte>();
  if (bytes > 0) ops_.memory().Fill(at, kSmall, bytes);
  arrays_.push_back(std::move(array));
  return at;
}

std::byte* DeviceFixture::PutFloats(const Values& values, bool constant) {
  if (purpose_ == Purpose::kTime) return Uniform(values.count * sizeof(float));
  const std::vector<float> made = values.make();
  return Put(made.data(), made.size() * sizeof(float), constant);
}

std::byte* DeviceFixture::PutAs(DType type, const Values& values, bool constant) {
  if (purpose_ == Purpose::kTime) return Uniform(values.count * static_cast<std::size_t>(Info(type).bytes));
  const std::vector<std::byte> bytes = Rounded(type, values.make());
  return Put(bytes.data(), bytes.size(), constant);
}

void* DeviceFixture::Poisoned(std::size_t bytes) {
  return purpose_ == Purpose::kTime ? Uniform(bytes) : Put(nullptr, bytes, false);
}

const float* DeviceFixture::In(const Values& values) { return reinterpret_cast<const float*>(PutFloats(values, true)); }
const std::int32_t* DeviceFixture::In(const std::vector<std::int32_t>& values) {
  return reinterpret_cast<const std::int32_t*>(Put(values.data(), values.size() * sizeof(std::int32_t), true));
}
const Segment* DeviceFixture::In(const std::vector<Segment>& values) {
  return reinterpret_cast<const Segment*>(Put(values.data(), values.size() * sizeof(Segment), true));
}
const void* DeviceFixture::InOperand(const Values& values) { return PutAs(operands(), values, true); }
const void* DeviceFixture::InCache(const Values& values) { return PutAs(ops_.precision().kv, values, true); }
float* DeviceFixture::InOut(const Values& values) { return reinterpret_cast<float*>(PutFloats(values, false)); }
std::int32_t* DeviceFixture::InOut(const std::vector<std::int32_t>& values) {
  return reinterpret_cast<std::int32_t*>(Put(values.data(), values.size() * sizeof(std::int32_t), false));
}
Segment* DeviceFixture::InOut(const std::vector<Segment>& values) {
  return reinterpret_cast<Segment*>(Put(values.data(), values.size() * sizeof(Segment), false));
}
void* DeviceFixture::InOutOperand(const Values& values) { return PutAs(operands(), values, false); }
void* DeviceFixture::InOutCache(const Values& values) { return PutAs(ops_.precision().kv, values, false); }

std::vector<float> DeviceFixture::Read(const float* data, std::size_t count) {
  return Copied<float>(ops_.memory(), data, count);
}
std::vector<std::int32_t> DeviceFixture::Read(const std::int32_t* data, std::size_t count) {
  return Copied<std::int32_t>(ops_.memory(), data, count);
}
std::vector<Segment> DeviceFixture::Read(const Segment* data, std::size_t count) {
  return Copied<Segment>(ops_.memory(), data, count);
}
std::vector<float> DeviceFixture::ReadAs(DType type, const void* data, std::size_t count) {
  return Widened(type, Copied<std::byte>(ops_.memory(), data, count * static_cast<std::size_t>(Info(type).bytes)));
}
std::vector<float> DeviceFixture::RoundedToOperand(const std::vector<float>& values) const {
  return Widened(operands(), Rounded(operands(), values));
}

FixtureRows DeviceFixture::MakeRows(std::vector<Segment> segments, int context_bound,
                                    const std::vector<std::int32_t>& tokens) {
  FixtureRows made;
  std::vector<std::int32_t> position, session;
  for (Segment& segment : segments) {
    segment.first_row = static_cast<std::int32_t>(position.size());
    for (int r = 0; r < segment.rows; ++r) {
      position.push_back(segment.first_position + r);
      session.push_back(segment.session);
    }
  }
  made.segments = segments;
  made.rows.count = static_cast<int>(position.size());
  made.rows.token = In(tokens.empty() ? std::vector<std::int32_t>(position.size(), 0) : tokens);
  made.rows.position = In(position);
  made.rows.session = In(session);
  made.rows.segments = static_cast<int>(segments.size());
  made.rows.segment = In(segments);
  made.rows.host_segment = made.segments.data();
  made.rows.context_bound = context_bound;
  return made;
}

std::shared_ptr<const Weight> DeviceFixture::Prepared(const std::shared_ptr<const WeightParts>& parts) {
  if (parts != parts_) {
    weight_ = ops_.Prepare(parts->parts, parts->use);
    parts_ = parts;
  }
  return weight_;
}

#ifdef ASSAY_HAS_CUDA
void DeviceFixture::PoisonScratch() {
  if (!ops_.on_host()) PoisonWorkspace(ops_);
}
#else
void DeviceFixture::PoisonScratch() {}
#endif

std::vector<std::string> DeviceFixture::Damage() {
  ops_.Synchronize();
  std::vector<std::string> damage;
  if (purpose_ == Purpose::kTime) return damage;
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    const Array& array = arrays_[i];
    const auto all = Copied<std::byte>(ops_.memory(), array.buffer.data(), array.bytes + 2 * kGuard);
    const auto guard = [&](std::size_t from) {
      return std::all_of(all.begin() + static_cast<std::ptrdiff_t>(from),
                         all.begin() + static_cast<std::ptrdiff_t>(from + kGuard),
                         [](std::byte b) { return b == std::byte{kSentinel}; });
    };
    if (!guard(0)) damage.push_back(fmt::format("{}: bytes before array {} were written", ops_.device(), i));
    if (!guard(kGuard + array.bytes))
      damage.push_back(fmt::format("{}: bytes after array {} were written", ops_.device(), i));
    if (!array.expected.empty() && std::memcmp(all.data() + kGuard, array.expected.data(), array.bytes) != 0)
      damage.push_back(fmt::format("{}: input {} changed", ops_.device(), i));
  }
  return damage;
}

std::vector<float> Numbers(std::uint64_t key, std::size_t count, float scale, float offset) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = RandomNormalish(key, i) * scale + offset;
  return values;
}

HostAndDevice MakeHostAndDevice(Precision precision, bool batch_invariant) {
  HostAndDevice both;
  if (const Support support = DeviceAvailable(Device::Cuda()); !support) {
    both.missing = support.reason;
    return both;
  }
  both.host = std::make_unique<DeviceFixture>(std::make_unique<HostOps>(precision));
  both.device = std::make_unique<DeviceFixture>(MakeOps(Device::Cuda(), precision, batch_invariant));
  return both;
}

}  // namespace assay

#include "suites/ops/side.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/base/half.h"
#include "engine/base/random.h"
#include "engine/ops/host_ops.h"
#include "engine/ops/ops_factory.h"

namespace assay {
namespace {

constexpr std::size_t kGuard = 1024;  // bytes before and after an array; keeps arrays 256-byte aligned
constexpr unsigned char kSentinel = 0x5a;

template <class T>
std::vector<T> Copied(Memory& memory, const void* data, std::size_t count) {
  std::vector<T> values(count);
  if (count > 0) memory.CopyOut(values.data(), data, count * sizeof(T));
  return values;
}

}  // namespace

std::byte* Side::Place(const void* data, std::size_t bytes, bool constant) {
  Array array;
  array.bytes = bytes;
  array.buffer = Buffer(ops_->memory(), bytes + 2 * kGuard, "test array");
  auto* at = array.buffer.as<std::byte>();
  ops_->memory().Fill(at, kSentinel, bytes + 2 * kGuard);
  if (data != nullptr && bytes > 0) ops_->memory().CopyIn(at + kGuard, data, bytes);
  if (data == nullptr && bytes > 0) ops_->memory().Fill(at + kGuard, 0xff, bytes);
  if (constant) {
    const auto* from = static_cast<const std::byte*>(data);
    array.expected.assign(from, from + bytes);
  }
  arrays_.push_back(std::move(array));
  return at + kGuard;
}

void* Side::Poisoned(std::size_t bytes) { return Place(nullptr, bytes, false); }

std::vector<std::byte> Side::Rounded(const std::vector<float>& values) const {
  std::vector<std::byte> bytes(values.size() * operand_bytes());
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::byte* to = bytes.data() + i * operand_bytes();
    const BF16 b = ToBF16(values[i]);
    const F16 h = ToF16(values[i]);
    switch (ops_->precision()) {
      case Precision::kFp32:
        std::memcpy(to, &values[i], 4);
        break;
      case Precision::kFp16:
        std::memcpy(to, &h, 2);
        break;
      case Precision::kBf16:
        std::memcpy(to, &b, 2);
        break;
    }
  }
  return bytes;
}

const float* Side::In(const std::vector<float>& values) {
  return reinterpret_cast<const float*>(Place(values.data(), values.size() * sizeof(float), true));
}
const std::int32_t* Side::In(const std::vector<std::int32_t>& values) {
  return reinterpret_cast<const std::int32_t*>(Place(values.data(), values.size() * sizeof(std::int32_t), true));
}
const Segment* Side::In(const std::vector<Segment>& values) {
  return reinterpret_cast<const Segment*>(Place(values.data(), values.size() * sizeof(Segment), true));
}
const void* Side::InOperand(const std::vector<float>& values) {
  const std::vector<std::byte> bytes = Rounded(values);
  return Place(bytes.data(), bytes.size(), true);
}
float* Side::InOut(const std::vector<float>& values) {
  return reinterpret_cast<float*>(Place(values.data(), values.size() * sizeof(float), false));
}
std::int32_t* Side::InOut(const std::vector<std::int32_t>& values) {
  return reinterpret_cast<std::int32_t*>(Place(values.data(), values.size() * sizeof(std::int32_t), false));
}
Segment* Side::InOut(const std::vector<Segment>& values) {
  return reinterpret_cast<Segment*>(Place(values.data(), values.size() * sizeof(Segment), false));
}
void* Side::InOutOperand(const std::vector<float>& values) {
  const std::vector<std::byte> bytes = Rounded(values);
  return Place(bytes.data(), bytes.size(), false);
}

std::vector<float> Side::Read(const float* data, std::size_t count) {
  return Copied<float>(ops_->memory(), data, count);
}
std::vector<std::int32_t> Side::Read(const std::int32_t* data, std::size_t count) {
  return Copied<std::int32_t>(ops_->memory(), data, count);
}
std::vector<Segment> Side::Read(const Segment* data, std::size_t count) {
  return Copied<Segment>(ops_->memory(), data, count);
}
std::vector<float> Side::ReadOperand(const void* data, std::size_t count) {
  if (ops_->precision() == Precision::kFp32) return Copied<float>(ops_->memory(), data, count);
  std::vector<float> values;
  values.reserve(count);
  for (const std::uint16_t bits : Copied<std::uint16_t>(ops_->memory(), data, count))
    values.push_back(ops_->precision() == Precision::kFp16 ? ToFloat(F16{bits}) : ToFloat(BF16{bits}));
  return values;
}

SideRows Side::MakeRows(std::vector<Segment> segments, int context_bound, const std::vector<std::int32_t>& tokens) {
  SideRows made;
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

void Side::Check() {
  ops_->Synchronize();
  for (std::size_t i = 0; i < arrays_.size(); ++i) {
    const Array& array = arrays_[i];
    const auto all = Copied<std::byte>(ops_->memory(), array.buffer.data(), array.bytes + 2 * kGuard);
    const auto guard = [&](std::size_t from) {
      return std::all_of(all.begin() + static_cast<std::ptrdiff_t>(from),
                         all.begin() + static_cast<std::ptrdiff_t>(from + kGuard),
                         [](std::byte b) { return b == std::byte{kSentinel}; });
    };
    EXPECT_TRUE(guard(0)) << ops_->device() << ": bytes before array " << i << " were written";
    EXPECT_TRUE(guard(kGuard + array.bytes)) << ops_->device() << ": bytes after array " << i << " were written";
    if (!array.expected.empty()) {
      EXPECT_EQ(std::memcmp(all.data() + kGuard, array.expected.data(), array.bytes), 0)
          << ops_->device() << ": input " << i << " changed";
    }
  }
}

void ExpectClose(const std::vector<float>& device, const std::vector<float>& host, double whole, double worst,
                 const std::string& what) {
  ASSERT_EQ(device.size(), host.size()) << what;
  double error = 0, norm = 0, largest = 0, largest_error = 0;
  std::size_t at = 0, nans = 0;
  for (std::size_t i = 0; i < host.size(); ++i) {
    if (std::isnan(host[i]) || std::isnan(device[i])) {
      if (std::isnan(host[i]) != std::isnan(device[i]) && nans++ == 0)
        ADD_FAILURE() << what << ": element " << i << " is " << device[i] << ", expected " << host[i];
      continue;
    }
    const double difference = std::abs(static_cast<double>(device[i]) - host[i]);
    error += difference * difference;
    norm += static_cast<double>(host[i]) * host[i];
    largest = std::max(largest, std::abs(static_cast<double>(host[i])));
    if (difference > largest_error) {
      largest_error = difference;
      at = i;
    }
  }
  EXPECT_EQ(nans, 0u) << what << ": elements that are NaN on one side only";
  EXPECT_LE(std::sqrt(error), whole * std::sqrt(norm)) << what << ": relative error of the whole";
  EXPECT_LE(largest_error, worst * largest)
      << what << ": element " << at << " is " << device[at] << ", expected " << host[at];
}

double RoundingOf(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return 0x1p-23;
    case Precision::kFp16:
      return 0x1p-10;
    case Precision::kBf16:
      return 0x1p-7;
  }
  return 0;
}

std::vector<float> Numbers(std::uint64_t key, std::size_t count, float scale, float offset) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = RandomNormalish(key, i) * scale + offset;
  return values;
}

Sides MakeSides(Precision precision, bool batch_invariant) {
  Sides sides;
  if (const Support support = DeviceAvailable(Device::Cuda()); !support) {
    sides.missing = support.reason;
    return sides;
  }
  sides.host = std::make_unique<Side>(std::make_unique<HostOps>(precision));
  sides.device = std::make_unique<Side>(MakeOps(Device::Cuda(), precision, batch_invariant));
  return sides;
}

}  // namespace assay

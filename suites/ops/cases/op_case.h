// One declaration of an op call: name, axes, inputs, call, outputs with their tolerance, bytes and operations. The op
// tests compare it on host and device, the sanitizer lanes run those tests, and `bench --what ops` times the same call
// at a model's own shapes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "reports/format/axes.h"
#include "suites/ops/cases/device_fixture.h"

namespace assay {

// What two computations of one output may differ by: each |a - b| <= worst * max |b| and ||a - b|| <= whole * ||b||.
// Both 0: not at all.
struct Tolerance {
  double whole = 0, worst = 0;
  bool exact() const { return whole == 0 && worst == 0; }
};

// Relative error of a value rounded once to the type, doubled because two sides may round to different neighbours.
double RoundingOf(DType type);
inline double RoundingOf(Precision precision) { return RoundingOf(precision.operands); }

// How two computations differ beyond the tolerance, a line each: NaN on one side only, infinite on one side only, the
// error of the whole, the worst element.
std::vector<std::string> Differences(const std::vector<float>& found, const std::vector<float>& expected,
                                     const Tolerance& tolerance, const std::string& what);

// An array that the call writes.
struct Output {
  enum class Type { kFloat, kOperand, kCache, kInt, kSegment };
  std::string name;
  Type type = Type::kFloat;
  const void* data = nullptr;
  std::size_t count = 0;
  Tolerance tolerance;
  bool sparse = false;  // the call writes only a part, as Qkv does of a cache
};
// One for each output of a call.
using OutputValues = std::vector<std::vector<float>>;

// Integers as floats, which hold them exactly up to 2^24; larger ones do not occur in an op's outputs.
std::vector<float> ReadOutput(DeviceFixture& fixture, const Output& output);

// What one call must move and compute at least.
struct OpCost {
  double bytes = 0, flops = 0;
};

// A call whose arrays lie in a fixture; valid until the fixture is cleared.
struct PreparedOp {
  std::function<void()> call;  // makes `calls` calls and nothing else, so that it can be captured
  int calls = 1;
  std::vector<Output> outputs;
  OpCost cost;  // of one of the calls; here, because a weight's bytes are known only when it is prepared
};

struct OpCase {
  std::string op;  // "norm"
  Axes axes;
  std::function<PreparedOp(DeviceFixture&)> prepare;
  // The outputs by their formula in float64 from inputs as the mode rounds them, in the order of PreparedOp::outputs;
  // an output without one is empty. Null where there is no cheap formula.
  std::function<OutputValues()> formula;
  std::string id() const { return op + "/" + axes.ToString(); }
};

// Cases that one test walks through with one pair of devices.
struct OpCaseList {
  std::string name;  // "Norm_bf16": the test's parameter
  Precision precision = Precision::kFp32;
  std::function<std::vector<OpCase>()> cases;
};

}  // namespace assay

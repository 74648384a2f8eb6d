// What the op tests share: both devices or a skip, and the fixture's complaints as failures.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "suites/ops/cases/cases.h"

namespace assay {

// Fails the test when a sentinel or an input of the fixture has changed.
inline void ExpectUndamaged(DeviceFixture& fixture) {
  for (const std::string& damage : fixture.Damage()) ADD_FAILURE() << damage;
}

// What a call writes, after a poisoned workspace; fails the test where an output was not written.
inline OutputValues Outputs(DeviceFixture& fixture, const PreparedOp& op) {
  fixture.PoisonScratch();
  op.call();
  ExpectUndamaged(fixture);
  OutputValues values;
  values.reserve(op.outputs.size());
  for (const Output& output : op.outputs) {
    values.push_back(ReadOutput(fixture, output));
    EXPECT_EQ(values.back().size(), output.count * (output.type == Output::Type::kSegment ? 4 : 1));
    // Sentinels are NaN: what is still NaN was not written, or was made of what was not.
    const auto unwritten = std::ranges::count_if(values.back(), [](float v) { return std::isnan(v); });
    EXPECT_TRUE(output.sparse || unwritten == 0) << output.name << ": " << unwritten << " elements were not written";
  }
  return values;
}

inline void ExpectAgree(const PreparedOp& op, const OutputValues& found, const OutputValues& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    for (const std::string& line : Differences(found[i], expected[i], op.outputs[i].tolerance, op.outputs[i].name))
      ADD_FAILURE() << line;
}

// What `item` writes on `device` against what it writes on `host`.
inline void ExpectMatchesHost(const OpCase& item, DeviceFixture& host, DeviceFixture& device) {
  host.Clear();
  device.Clear();
  const PreparedOp wanted = item.prepare(host), op = item.prepare(device);
  const auto expected = Outputs(host, wanted), found = Outputs(device, op);
  ExpectAgree(op, found, expected);
}

// The name of a mode as a test parameter.
inline std::string ModeName(const testing::TestParamInfo<Precision>& mode) { return Name(mode.param); }

inline std::string SubjectName(const testing::TestParamInfo<ProductSubject>& subject) { return subject.param.name(); }

}  // namespace assay

#define ASSAY_HOST_AND_DEVICE(name, precision)       \
  auto name = ::assay::MakeHostAndDevice(precision); \
  if (!name.missing.empty()) GTEST_SKIP() << name.missing

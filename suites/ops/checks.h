// What the op tests share: both devices or a skip, and the fixture's complaints as failures.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "suites/ops/cases/cases.h"

namespace assay {

// Fails the test when a sentinel or an input of the fixture has changed.
inline void ExpectUndamaged(DeviceFixture& fixture) {
  for (const std::string& damage : fixture.Damage()) ADD_FAILURE() << damage;
}

// The name of a mode as a test parameter.
inline std::string ModeName(const testing::TestParamInfo<Precision>& mode) { return Name(mode.param); }

inline std::string SubjectName(const testing::TestParamInfo<ProductSubject>& subject) { return subject.param.name(); }

}  // namespace assay

#define ASSAY_HOST_AND_DEVICE(name, precision)       \
  auto name = ::assay::MakeHostAndDevice(precision); \
  if (!name.missing.empty()) GTEST_SKIP() << name.missing

// Every op case: the device against the host, and the host alone against its sentinels and, where there is one, a
// formula in float64, so that a machine without a GPU checks something too.
#include <algorithm>
#include <cmath>
#include <map>

#include "engine/ops/host_ops.h"
#include "suites/ops/checks.h"

namespace assay {
namespace {

// Larger calls would make the host's loops the longest part of the tests, and the device's comparison runs them anyway.
constexpr double kCheapFlops = 3e6;

class OpCaseTest : public testing::TestWithParam<OpCaseList> {};

TEST_P(OpCaseTest, DeviceMatchesHost) {
  ASSAY_HOST_AND_DEVICE(both, GetParam().precision);
  for (const OpCase& item : GetParam().cases()) {
    SCOPED_TRACE(item.id());
    both.Clear();
    const PreparedOp host = item.prepare(*both.host), device = item.prepare(*both.device);
    const auto expected = Outputs(*both.host, host), found = Outputs(*both.device, device);
    ExpectAgree(device, found, expected);
    if (HasFatalFailure()) return;
  }
}

TEST_P(OpCaseTest, HostAlone) {
  DeviceFixture host(std::make_unique<HostOps>(GetParam().precision));
  int checked = 0;
  for (const OpCase& item : GetParam().cases()) {
    SCOPED_TRACE(item.id());
    host.Clear();
    const PreparedOp op = item.prepare(host);
    EXPECT_GT(op.cost.bytes, 0);
    EXPECT_GE(op.calls, 1);
    if (op.cost.flops > kCheapFlops) continue;
    ++checked;
    const auto found = Outputs(host, op);
    if (!item.formula) continue;
    auto expected = item.formula();
    ASSERT_EQ(expected.size(), found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (expected[i].empty()) continue;
      if (op.outputs[i].type == Output::Type::kOperand) expected[i] = host.RoundedToOperand(expected[i]);
      for (const std::string& line : Differences(found[i], expected[i], op.outputs[i].tolerance, op.outputs[i].name))
        ADD_FAILURE() << line << ", by the formula";
    }
  }
  EXPECT_GT(checked, 0) << "no case of the list is cheap enough for the host alone";
}

// An id tells a case from all others of its list, because a failure names nothing else.
TEST_P(OpCaseTest, IdsAreUnique) {
  std::map<std::string, int> seen;
  for (const OpCase& item : GetParam().cases()) EXPECT_EQ(++seen[item.id()], 1) << item.id();
}

INSTANTIATE_TEST_SUITE_P(Ops, OpCaseTest, testing::ValuesIn(AllOpCases()),
                         [](const testing::TestParamInfo<OpCaseList>& list) { return list.param.name; });

}  // namespace
}  // namespace assay

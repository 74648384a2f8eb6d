// Route: choices, few rows and tiles of rows.
#include "suites/ops/cases/cases.h"

namespace assay {
namespace {

OpCase RouteCase(int rows, int hidden, int experts, int top_k) {
  const auto h = static_cast<std::size_t>(hidden), e = static_cast<std::size_t>(experts),
             r = static_cast<std::size_t>(rows), count = r * static_cast<std::size_t>(top_k);
  const bool scaled = rows % 2 != 0;
  const Values x = LazyNumbers(1, r * h, 4.0f), router = LazyNumbers(2, e * h),
               router_scale = LazyNumbers(3, h, 0.2f, 1.0f), expert_scale = LazyNumbers(4, e, 0.3f, 1.0f);
  OpCase made;
  made.op = "route";
  made.axes = Axes({{"rows", rows}, {"hidden", hidden}, {"experts", experts}, {"top_k", top_k}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const Ops::RouteArgs args{fixture.OutInts(count),
                              fixture.Out(count),
                              fixture.In(x),
                              fixture.In(router),
                              fixture.In(router_scale),
                              scaled ? fixture.In(expert_scale) : nullptr,
                              rows,
                              hidden,
                              experts,
                              top_k,
                              1e-6f};
    PreparedOp op;
    op.call = [&ops, args] { ops.Route(args); };
    op.outputs = {{"expert", Output::Type::kInt, args.expert, count, {}},
                  {"weight", Output::Type::kFloat, args.weight, count, {1e-5, 3e-5}}};
    op.cost.bytes = static_cast<double>((r * h + e * h) * sizeof(float));
    op.cost.flops = 2.0 * static_cast<double>(r * h * e);
    return op;
  };
  return made;
}

}  // namespace

std::vector<OpCaseList> RouteCases() {
  return {{"Route_fp32", Precision::kFp32, [] {
             // The first one's tiles take 48 KiB of shared memory, to which the kernel adds its own; a larger one
             // before it would have asked for what it needs.
             return std::vector{RouteCase(40, 1536, 32, 4),  RouteCase(1, 2816, 128, 8), RouteCase(7, 2816, 128, 8),
                                RouteCase(33, 2816, 128, 8), RouteCase(70, 64, 8, 2),    RouteCase(3, 30, 5, 5),
                                RouteCase(2, 128, 300, 4)};
           }}};
}

}  // namespace assay

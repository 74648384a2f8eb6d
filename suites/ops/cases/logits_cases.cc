// Logits, GatherRows and Advance.
#include <cmath>

#include "suites/ops/cases/cases.h"

namespace assay {
namespace {

OpCase LogitsCase(int vocab, float cap, bool in_place) {
  const int rows = 3;
  const auto count = static_cast<std::size_t>(rows * vocab);
  const Values raw = LazyNumbers(static_cast<std::uint64_t>(vocab), count, 20.0f);
  OpCase made;
  made.op = "logits";
  made.axes = Axes({{"vocab", vocab}, {"cap", static_cast<int>(cap)}, {"in_place", in_place}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    float* in = fixture.InOut(raw);
    const Ops::LogitsArgs args{in_place ? in : fixture.Out(count), fixture.OutInts(rows), in, rows, vocab, cap};
    PreparedOp op;
    op.call = [&ops, args] { ops.Logits(args); };
    op.outputs = {{"capped", Output::Type::kFloat, args.capped, count, {1e-6, 1e-6}},
                  {"best", Output::Type::kInt, args.best, rows, {}}};
    op.cost.bytes = static_cast<double>(2 * count * sizeof(float));
    return op;
  };
  made.formula = [=] {
    std::vector<float> capped = raw.make();
    if (cap > 0)
      for (float& value : capped)
        value = static_cast<float>(cap * std::tanh(static_cast<double>(value) / static_cast<double>(cap)));
    return OutputValues{capped, {}};  // which of two near ones is best hangs on float32's rounding
  };
  return made;
}

OpCase GatherCase(std::int64_t bytes) {
  const auto units = static_cast<std::size_t>(bytes / 4);
  const Values in = LazyNumbers(5, 10 * units);
  const std::vector<std::int32_t> index = {9, 0, 0, 3};
  OpCase made;
  made.op = "gather";
  made.axes = Axes({{"row_bytes", bytes}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    float* out = fixture.Out(4 * units);
    const float* from = fixture.In(in);
    const std::int32_t* at = fixture.In(index);
    PreparedOp op;
    op.call = [=, &ops] { ops.GatherRows(out, from, at, 4, bytes); };
    op.outputs = {{"out", Output::Type::kFloat, out, 4 * units, {}}};
    op.cost.bytes = static_cast<double>(2 * 4 * bytes);
    return op;
  };
  made.formula = [=] {
    const std::vector<float> from = in.make();
    std::vector<float> out;
    for (const std::int32_t row : index) {
      const auto begin = from.begin() + row * static_cast<std::ptrdiff_t>(units);
      out.insert(out.end(), begin, begin + static_cast<std::ptrdiff_t>(units));
    }
    return OutputValues{out};
  };
  return made;
}

// Two steps, so that the second reads what the first has advanced.
OpCase AdvanceCase(int rows) {
  const auto count = static_cast<std::size_t>(rows);
  std::vector<std::int32_t> token(count), position(count), best(count);
  std::vector<Segment> segment(count);
  for (int r = 0; r < rows; ++r) {
    const auto i = static_cast<std::size_t>(r);
    token[i] = r;
    position[i] = 1000 - r;
    best[i] = 7 * r;
    segment[i] = {r, 1, r, 1000 - r};
  }
  OpCase made;
  made.op = "advance";
  made.axes = Axes({{"rows", rows}});
  made.prepare = [=](DeviceFixture& fixture) {
    Ops& ops = fixture.ops();
    const Ops::AdvanceArgs args{fixture.InOut(token),
                                fixture.InOut(position),
                                fixture.InOut(segment),
                                fixture.OutInts(4 * count),
                                fixture.InOut(std::vector<std::int32_t>{2}),
                                fixture.In(best),
                                rows};
    PreparedOp op;
    op.calls = 2;
    op.call = [&ops, args] {
      ops.Advance(args);
      ops.Advance(args);
    };
    op.outputs = {{"token", Output::Type::kInt, args.token, count, {}},
                  {"position", Output::Type::kInt, args.position, count, {}},
                  {"step", Output::Type::kInt, args.step, 1, {}},
                  {"history", Output::Type::kInt, args.history, 4 * count, {}, /*sparse=*/true},
                  {"segment", Output::Type::kSegment, args.segment, count, {}}};
    op.cost.bytes = static_cast<double>(count * (4 * sizeof(std::int32_t) + sizeof(Segment)));
    return op;
  };
  made.formula = [=] {
    std::vector<float> history(4 * count, -1.0f), positions, segments, chosen;
    for (std::size_t i = 0; i < count; ++i) {
      chosen.push_back(static_cast<float>(best[i]));
      positions.push_back(static_cast<float>(position[i] + 2));
      history[2 * count + i] = history[3 * count + i] = chosen.back();
      for (const float value : {static_cast<float>(i), 1.0f, static_cast<float>(i), positions.back()})
        segments.push_back(value);
    }
    return OutputValues{chosen, positions, std::vector{4.0f}, history, segments};
  };
  return made;
}

}  // namespace

std::vector<OpCaseList> LogitsCases() {
  return {{"Logits_bf16", Precision::kBf16,
           [] {
             std::vector<OpCase> cases;
             for (const int vocab : {1, 31, 1000, 2048, 2049, 262144})
               for (const float cap : {0.0f, 30.0f})
                 for (const bool in_place : {false, true}) cases.push_back(LogitsCase(vocab, cap, in_place));
             return cases;
           }},
          {"GatherRows_fp32", Precision::kFp32,
           [] {
             std::vector<OpCase> cases;
             for (const int bytes : {4, 12, 5120, 10240, 100000}) cases.push_back(GatherCase(bytes));
             return cases;
           }},
          {"Advance_bf16", Precision::kBf16, [] {
             std::vector<OpCase> cases;
             for (const int rows : {1, 37, 300}) cases.push_back(AdvanceCase(rows));
             return cases;
           }}};
}

}  // namespace assay

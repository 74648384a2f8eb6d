#include "bench/cases/decode_batch.h"

#include <span>
#include <utility>

#include "bench/support/roofline.h"
#include "bench/support/timing.h"

namespace assay {

void FillStepNeeds(ReportBenchmark* row, BenchState& state, const DecodeShape& shape, double work) {
  const CostModel model =
      MakeCostModel(state.bench.Store(state.target), state.target.precision, state.target.device.on_host());
  const double keys = shape.context + DecodeShape::kLead + 0.5 * (DecodeShape::kTimed + 1);
  FillNeeds(row, DecodeCost(model, shape.sessions, keys), state.setting.limits, work);
}

DecodeBatch::DecodeBatch(BenchState& state, const DecodeShape& shape, StepTimer& timer)
    : shape_(shape), timer_(timer), system_(state.bench.OpenEngine(state.target, shape.options(), timer)) {
  for (int i = 0; i < shape.sessions; ++i) {
    const Tokens text = MadeUpText(state, i, shape.context + 1);
    sessions_.push_back(system_->OpenWith(std::span(text).first(shape.context)));
    first_.push_back(text.back());
  }
}

TimedSteps DecodeBatch::Run() {
  std::vector<Tokens> texts = Decode();
  Require<WrongResult>(texts_.empty() || texts == texts_,
                       "the same steps decoded other tokens when they were replayed");
  texts_ = std::move(texts);
  return timer_.Take();
}

TimedSteps DecodeBatch::RunUnchecked() {
  Decode();
  return timer_.Take();
}

void DecodeBatch::Check(const BenchSetting& setting) {
  RequireGreedy(*system_, sessions_, first_, texts_, kChecked, setting);
  Rewind();
}

std::vector<Tokens> DecodeBatch::Decode() {
  std::vector<Tokens> texts = system_->Decode(sessions_, first_, DecodeShape::kSteps);
  Rewind();
  return texts;
}

void DecodeBatch::Rewind() {
  for (const SessionId session : sessions_) system_->Truncate(session, shape_.context);
}

}  // namespace assay

// N sessions at the same length, decoded greedily from there again and again.
#pragma once

#include <memory>
#include <vector>

#include "bench/cases/sessions.h"
#include "bench/support/step_timer.h"
#include "suites/support/shapes.h"

namespace assay {

// What a timed step of that shape needs (FillNeeds), with the keys visible on average, each row's own included.
void FillStepNeeds(ReportBenchmark* row, BenchState& state, const DecodeShape& shape, double work);

class DecodeBatch {
 public:
  static constexpr int kChecked = 8;  // steps of the timed text that are held against steps that read their logits back

  // `timer`, which must outlive the batch, times its steps.
  DecodeBatch(BenchState& state, const DecodeShape& shape, StepTimer& timer);

  // One series. The same tokens every time, or it throws WrongResult.
  TimedSteps Run();
  // One series, whatever it decodes.
  TimedSteps RunUnchecked();
  // Holds the tokens of Run against steps that read their logits back: RequireGreedy.
  void Check(const BenchSetting& setting);

 private:
  std::vector<Tokens> Decode();
  void Rewind();

  DecodeShape shape_;
  StepTimer& timer_;
  std::unique_ptr<EngineSystem> system_;
  std::vector<SessionId> sessions_;
  Tokens first_;
  std::vector<Tokens> texts_;
};

}  // namespace assay

// Who answers a recorded trace: a reference decoder, or the system under test.
#pragma once

#include <memory>

#include "oracles/reference/decoder.h"
#include "suites/golden/golden_judge.h"
#include "suites/support/case.h"

namespace assay {

// Answers with one decoder, which keeps what the next request has in common with the last: traces record a sequence and
// its continuation.
class ReferenceAnswerer final : public GoldenAnswerer {
 public:
  explicit ReferenceAnswerer(std::unique_ptr<ReferenceDecoder> decoder) : decoder_(std::move(decoder)) {}
  std::string name() const override;
  std::vector<GoldenAnswer> Answer(std::span<const GoldenRequest> requests) override;

 private:
  GoldenAnswer One(const GoldenRequest& request);

  std::unique_ptr<ReferenceDecoder> decoder_;
  std::vector<std::int32_t> fed_;
};

// The requests of a trace run packed and chunked, 16 sessions at a time; greedy text comes from the system's own
// decode, where it has one; hidden states, in fp32, from the engine's residual stream, where its inside can be seen.
class SystemAnswerer final : public GoldenAnswerer {
 public:
  // The system is opened here, sized for `trace`.
  SystemAnswerer(CaseState& state, const GoldenTrace& trace);
  std::string name() const override;
  bool has_hidden() const override;
  std::vector<GoldenAnswer> Answer(std::span<const GoldenRequest> requests) override;
  std::optional<std::vector<std::int32_t>> Greedy(std::span<const std::int32_t> prompt, int steps) override;

 private:
  std::vector<GoldenAnswer> Together(std::span<const GoldenRequest> requests);
  std::vector<double> HiddenStates(std::span<const std::int32_t> tokens);

  CaseState& state_;
  std::unique_ptr<SystemUnderTest> system_;
};

}  // namespace assay

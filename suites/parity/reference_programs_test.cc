// What the comparison of reference programs must see, shown with the host's program in both places and faults in one.
#include "suites/parity/reference_programs.h"

#include <gtest/gtest.h>

#include "engine/weights/synthetic.h"
#include "suites/testing/planted.h"

namespace assay {
namespace {

Target Tiny(const char* model, Precision precision = Precision::kFp32) {
  return {.model = model, .precision = precision};
}

std::unique_ptr<ReferenceDecoder> Host(const WeightStore& store, const ReferenceOptions& options) {
  return MakeReference(store, options);
}

CaseOutcome Program(const Target& target, const ReferenceMaker& make) {
  Workbench bench;
  return OutcomeOf(bench, target, [&](CaseState& state) { JudgeReferenceProgram(state, make); });
}

CaseOutcome Twin(const Target& target, const ReferenceMaker& make) {
  Workbench bench;
  return OutcomeOf(bench, target, [&](CaseState& state) { JudgeTwinProgram(state, make, state.target.precision); });
}

TEST(ReferencePrograms, TheSameProgramPasses) {
  for (const char* model : {"tiny-gemma4-ple", "tiny-gemma4-moe", "tiny-mistral"}) {
    EXPECT_EQ(Program(Tiny(model), Host).status, Status::kPass) << model;
    EXPECT_EQ(Twin(Tiny(model, Precision::kBf16), Host).status, Status::kPass) << model;
  }
}

TEST(ReferencePrograms, Float32AnywhereIsSeen) {
  const CaseOutcome outcome = Program(Tiny("tiny-qwen3"), [](const WeightStore& store, ReferenceOptions options) {
    options.twin = DType::kF32;
    return MakeReference(store, options);
  });
  EXPECT_EQ(outcome.status, Status::kFail);
}

TEST(ReferencePrograms, AWindowOfOneKeyMoreIsSeen) {
  for (const char* model : {"tiny-gemma4-ple", "tiny-mistral"}) {
    const CaseOutcome outcome = Program(Tiny(model), [](const WeightStore& store, const ReferenceOptions& options) {
      ModelSpec spec = store.spec();
      for (LayerSpec& layer : spec.layers) layer.window += layer.window > 0 ? 1 : 0;
      return MakeReference(*OpenSynthetic(spec, 0), options);
    });
    EXPECT_EQ(outcome.status, Status::kFail) << model;
  }
}

TEST(ReferencePrograms, ATwinOfAnotherTypeIsSeen) {
  for (const DType type : {DType::kF32, DType::kF16}) {
    const CaseOutcome outcome =
        Twin(Tiny("tiny-llama", Precision::kBf16), [type](const WeightStore& store, const ReferenceOptions&) {
          return MakeReference(store, {.keep_hidden = false, .twin = type});
        });
    EXPECT_EQ(outcome.status, Status::kFail) << Name(type);
  }
}

TEST(ReferencePrograms, ATwinOfOtherWeightsIsSeen) {
  const CaseOutcome outcome = Twin(Tiny("tiny-llama"), [](const WeightStore& store, const ReferenceOptions& options) {
    return MakeReference(*OpenSynthetic(store.spec(), 1), options);
  });
  EXPECT_EQ(outcome.status, Status::kFail);
}

}  // namespace
}  // namespace assay

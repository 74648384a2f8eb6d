// The first of the streams of made-up tokens that a suite takes (RandomTokens, CaseState::MadeUp): suites whose streams
// are apart feed different texts.
#pragma once

namespace assay {

inline constexpr int kBatchStream = 3000, kDeclarationStream = 5000, kReferenceProgramsStream = 5000,
                     kExpertsStream = 6000, kOpsStream = 8000, kShapesStream = 9000, kDivergenceStream = 9900,
                     kScheduleStream = 20000;

}  // namespace assay

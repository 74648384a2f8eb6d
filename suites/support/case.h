// A case: one named thing a suite checks. Its name is its filter, its report key and its gtest name.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "oracles/compare/verdict.h"

namespace assay {

// What a case had to say. A case that could not run is not a pass: status kSkip with the reason.
struct CaseOutcome {
  enum class Status { kPass, kFail, kSkip, kError };
  Status status = Status::kError;
  std::string reason;                 // why it was skipped, failed or broke
  std::vector<Judgement> judgements;  // all comparisons made; empty with kPass is turned into kFail (vacuous)
  double seconds = 0;
};

struct Case {
  std::string suite;   // "BatchedDecode"
  std::string name;    // "MatchesSingleUser"
  std::string params;  // "gemma4_nano_bf16_n8_wrap": model first, then dtype, then the rest
  std::string model;   // path, preset or embedded name, as --model takes it
  std::string dtype;   // "fp32" | "fp16" | "bf16"; empty when it does not matter
  std::string device;  // "host" | "cuda": what it needs
  std::function<CaseOutcome()> run;
  std::string id() const { return suite + "." + name + (params.empty() ? "" : "/" + params); }
};

// What a suite is asked to cover: the product of the lists.
struct SuiteInputs {
  std::vector<std::string> models;   // paths, presets or embedded names
  std::vector<std::string> dtypes;   // "fp32", "fp16", "bf16"
  std::vector<std::string> devices;  // "host", "cuda"
  std::uint64_t seed = 0;
  bool batch_invariant = false;
};

}  // namespace assay

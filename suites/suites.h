// The table of suites: what `assay list`, `assay run` and the CTest program know. Adding a suite is its file and one
// row here.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "engine/base/check.h"
#include "suites/support/case.h"

namespace assay {

struct SuiteEntry {
  const char* name;   // Case::suite of its cases
  const char* about;  // one line
  std::vector<Case> (*cases)(Workbench& bench, const std::vector<Target>& targets);
  // Why there is none for a target that it lists none for; empty: it need not be said; null: it lists some for every
  // one.
  std::string (*why_none)(Workbench& bench, const Target& target) = nullptr;
};
std::span<const SuiteEntry> Suites();

// Cases of the suites named (all when empty; * and ? match several), in table order, with ids that are unique. Opens
// models' headers. Throws InputError that lists the suites when a name is unknown.
std::vector<Case> ListCases(Workbench& bench, const SuiteInputs& inputs, const std::vector<std::string>& suites = {});

// Those of one model, for a process of its own. Cases that make what they judge themselves are listed whatever is asked
// for; here kAnyModel alone has them, so that processes for all default models run each case once.
std::vector<Case> ListCasesOfModel(Workbench& bench, SuiteInputs inputs, const std::string& model);

// Which of the suites named list no case for which models, and why: "RingWrap: 0 cases for qwen3-nano: no window".
std::vector<std::string> EmptySuites(Workbench& bench, const SuiteInputs& inputs,
                                     const std::vector<std::string>& suites);

// What is covered when nothing is asked for: every embedded model and every tiny preset, every type; embedded
// models but GGUF files, which have quantised types of their own, in Q8_0 as well.
std::vector<std::string> DefaultModels();
std::vector<Precision> DefaultDtypes();

class NoSuchModel : public InputError {
 public:
  using InputError::InputError;
};

// The models that `patterns` name: embedded names and presets, also by wildcard, and paths that exist; commas separate
// several. Throws NoSuchModel that lists what there is for a pattern that matches nothing, InputError for a path that
// does not exist. In order, each once.
std::vector<std::string> MatchModels(const std::vector<std::string>& patterns);

}  // namespace assay

#include "ci/assay/selection.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "ci/assay/case_run.h"
#include "ci/assay/terminal.h"
#include "engine/ops/ops_factory.h"
#include "suites/suites.h"
#include "suites/support/runner.h"

namespace assay {
namespace {

// The common beginning of two texts, read without their punctuation: ids of earlier versions differ in that alone.
std::size_t Likeness(const std::string& a, const std::string& b) {
  const auto letters = [](std::string text) {
    std::erase_if(text, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
    return text;
  };
  const std::string x = letters(a), y = letters(b);
  return static_cast<std::size_t>(std::mismatch(x.begin(), x.end(), y.begin(), y.end()).first - x.begin());
}

void HintAt(const std::vector<Case>& all, const std::string& pattern) {
  if (all.empty() || pattern.find_first_of("*?[") != std::string::npos) return;
  const auto named = [&](const Case& item) { return item.id() == pattern; };
  if (std::any_of(all.begin(), all.end(), named)) return;
  std::string nearest;
  for (const Case& item : all)
    if (nearest.empty() || Likeness(item.id(), pattern) > Likeness(nearest, pattern)) nearest = item.id();
  Tell(stderr,
       "assay: case '{}': no case has this id; ids read Suite.Name/model/dtype/device/axis=value, the nearest is "
       "'{}'\n",
       pattern, nearest);
}

}  // namespace

SuiteInputs InputsOf(const RunArguments& arguments) {
  SuiteInputs inputs;
  inputs.models = arguments.models.empty() ? DefaultModels() : MatchModels(arguments.models);
  inputs.dtypes = arguments.dtypes.empty() ? DefaultDtypes() : PrecisionsOf(arguments.dtypes);
  inputs.devices = {ResolveDevice(arguments.device)};
  inputs.seed = arguments.seed;
  inputs.batch_invariant = arguments.batch_invariant;
  inputs.seeds = arguments.repeat;
  return inputs;
}

std::vector<Case> Selected(std::vector<Case> all, const RunArguments& arguments) {
  for (const std::string& pattern : arguments.patterns) HintAt(all, pattern);
  return SelectCases(std::move(all), arguments.patterns, arguments.excluded);
}

}  // namespace assay

#include "ci/assay/rerun.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/text/shell.h"
#include "reports/format/report.h"
#include "reports/format/writer.h"

namespace assay {
namespace {

void AddOnce(std::vector<std::string>* list, const std::string& value) {
  if (std::find(list->begin(), list->end(), value) == list->end()) list->push_back(value);
}

}  // namespace

RunArguments FailedCases(const std::string& file, RunArguments arguments) {
  const Report report = FromJson(ReadFile(file));
  Require(report.kind == "run", "{}: a report of 'assay {}': expected one of 'assay run'", file, report.kind);
  const bool own_models = !arguments.models.empty();
  arguments.seed = report.seed;
  arguments.patterns.clear();
  arguments.dtypes.clear();
  for (const ReportCase& item : report.cases) {
    if (item.status != Status::kFail && item.status != Status::kError) continue;
    const auto seed = item.axes.Number("seed");
    if (seed) arguments.repeat = std::max(arguments.repeat, static_cast<int>(*seed - arguments.seed) + 1);
    if (seed) AddOnce(&arguments.patterns, item.id());  // the replay line says the seed beside the id
    const std::vector<std::string> words = Words(item.replay);
    for (std::size_t i = 0; i < words.size(); ++i) {
      if (words[i] == "--batch-invariant") arguments.batch_invariant = true;
      if (i + 1 == words.size()) break;
      if (words[i] == "--case" && !seed) AddOnce(&arguments.patterns, words[i + 1]);
      if (words[i] == "--model" && !own_models) AddOnce(&arguments.models, words[i + 1]);
      if (words[i] == "--dtype") AddOnce(&arguments.dtypes, words[i + 1]);
      if (words[i] == "--device") arguments.device = words[i + 1];
    }
  }
  return arguments;
}

}  // namespace assay

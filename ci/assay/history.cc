#include <fmt/core.h>

#include "ci/assay/commands.h"
#include "reports/render/history_folder.h"

namespace assay {

int RenderHistoryCommand(const std::string& folder) {
  fmt::print("{}", RenderHistoryFolder(folder));
  return kExitPass;
}

}  // namespace assay

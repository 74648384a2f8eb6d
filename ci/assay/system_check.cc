#include "ci/assay/commands.h"
namespace assay {
int SystemCheckCommand(const SystemArguments&, const std::string&) { return kExitInternal; }
}  // namespace assay

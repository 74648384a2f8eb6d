// What this program was built from.
#pragma once

#include "reports/format/environment.h"

namespace assay {

// What this binary was built from and with. The commit is that of the sources at the last build; build_id is the
// linker's note in the running program, so two different binaries never share it.
BuildInfo ThisBuild();

}  // namespace assay

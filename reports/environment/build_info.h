// Facts of the build, filled in by ci/cmake/AssayBuildInfo.cmake each time the program is built.
#pragma once

#include "reports/format/environment.h"

namespace assay {

BuildInfo CompiledBuildInfo();  // without build_id, which only the linked program knows

}  // namespace assay

// The engine of this tree as a system of another process: the other side of the protocol.
#pragma once

#include "suites/support/engine_system.h"

namespace assay {

// Answers requests on `descriptor` until the other side closes it. Throws WireError when the stream cannot be used.
void ServeSystem(int descriptor, EngineProvider& provider);

}  // namespace assay

// The one place where a position becomes a slot of a ring cache. The reference decoders do not use it.
#pragma once

#include "engine/base/portable.h"

namespace assay {

// Slot of absolute `position` in a cache of `slots` places. A cache that never wraps has slots >= its capacity.
ASSAY_HD inline int RingSlot(int position, int slots) { return position % slots; }

}  // namespace assay

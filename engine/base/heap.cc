#include "engine/base/heap.h"

#include <malloc.h>

namespace assay {

void KeepFreedMemory() {
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that it takes
}

}  // namespace assay

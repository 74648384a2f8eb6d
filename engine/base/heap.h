// The C library's heap.
#pragma once

namespace assay {

// Keeps up to 256 MiB that is freed for what is allocated next. By itself the C library gives them back at once and
// takes them anew, a page at a time: longer, for the logits of a step, than all that is done with them.
void KeepFreedMemory();

}  // namespace assay

// What a configuration may claim, in either format: more is refused before anything is allocated by it.
#pragma once

namespace assay {

inline constexpr int kMaxWidth = 1 << 20;  // of rows of weights
inline constexpr int kMaxLayers = 1024;
inline constexpr int kMaxPosition = 1 << 30;  // of a context

}  // namespace assay

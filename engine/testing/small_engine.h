// Engines small enough to see rings turn over and sessions run out.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/ops/host_ops.h"
#include "engine/runtime/engine.h"

namespace assay {

using Tokens = std::vector<std::int32_t>;

constexpr int kSessions = 3, kCapacity = 12, kChunk = 4, kRows = 6;

inline EngineOptions Options(int capacity = kCapacity) {
  EngineOptions options;
  options.max_sessions = kSessions;
  options.capacity = capacity;
  options.max_chunk = kChunk;
  options.max_rows = kRows;
  return options;
}

}  // namespace assay

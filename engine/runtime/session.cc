#include "engine/runtime/session.h"

#include <algorithm>
#include <iterator>

namespace assay {

Support SessionTable::CanOpen() const {
  if (open_ < std::ssize(sessions_)) return Support::Yes();
  return Support::No("all {} sessions are open; close one or raise max_sessions", sessions_.size());
}

SessionId SessionTable::Open() {
  const Support support = CanOpen();
  Require(support.ok, "open session: {}", support.reason);
  const auto free = std::find_if(sessions_.begin(), sessions_.end(), [](const Session& s) { return !s.open; });
  *free = {.generation = free->generation + 1, .open = true, .length = 0, .high_water = 0};
  ++open_;
  return {static_cast<int>(free - sessions_.begin()), free->generation};
}

void SessionTable::Close(SessionId id) {
  RequireOpen(id);
  At(id).open = false;
  --open_;
}

void SessionTable::CopyState(SessionId to, SessionId from) {
  At(to).length = At(from).length;
  At(to).high_water = At(from).high_water;
}

Support SessionTable::IsOpen(SessionId id) const {
  if (id.index < 0 || id.index >= std::ssize(sessions_))
    return Support::No("session {}: expected an index in 0..{}", id.index, sessions_.size() - 1);
  const Session& session = At(id);
  if (!session.open || session.generation != id.generation)
    return Support::No("session {} (generation {}) is closed", id.index, id.generation);
  return Support::Yes();
}

void SessionTable::RequireOpen(SessionId id) const {
  const Support support = IsOpen(id);
  Require(support.ok, "{}", support.reason);
}

Support SessionTable::CanTruncate(SessionId id, int length) const {
  if (const Support open = IsOpen(id); !open) return open;
  const Session& session = At(id);
  if (length < 0 || length > session.length)
    return Support::No("session {}: truncate to {}, expected 0..{}", id.index, length, session.length);
  if (length == 0) return Support::Yes();
  for (const KvCacheSpec& cache : plan_.caches) {
    // The next query, at `length`, needs positions from length - window + 1 on; the ring holds those from high_water -
    // slots on.
    const int oldest = session.high_water - cache.slots;
    if (cache.window > 0 && std::max(0, length - cache.window + 1) < oldest)
      return Support::No(
          "session {}: truncate to {} needs positions from {} of layer {}, whose ring of {} slots holds them from {} "
          "on",
          id.index, length, std::max(0, length - cache.window + 1), cache.writer, cache.slots, oldest);
  }
  return Support::Yes();
}

void SessionTable::Truncate(SessionId id, int length) {
  const Support support = CanTruncate(id, length);
  Require(support.ok, "{}", support.reason);
  At(id).length = length;
  if (length == 0) At(id).high_water = 0;
}

void SessionTable::MarkWritten(SessionId id, int high_water) {
  At(id).high_water = std::max(At(id).high_water, high_water);
}

void SessionTable::Commit(SessionId id, int tokens) {
  At(id).length += tokens;
  MarkWritten(id, At(id).length);
}

}  // namespace assay

#include "engine/runtime/session.h"

#include <algorithm>

namespace assay {

Gate SessionTable::CanOpen() const {
  if (open_ < static_cast<int>(places_.size())) return Gate::Yes();
  return Gate::No("all {} session places are taken; close one or raise max_sessions", places_.size());
}

SessionId SessionTable::Open() {
  const Gate gate = CanOpen();
  Require(gate.ok, "open session: {}", gate.reason);
  const auto place = std::find_if(places_.begin(), places_.end(), [](const Place& p) { return !p.open; });
  *place = {place->generation + 1, true, 0, 0};
  ++open_;
  return {static_cast<int>(place - places_.begin()), place->generation};
}

void SessionTable::Close(SessionId id) {
  RequireOpen(id);
  At(id).open = false;
  --open_;
}

void SessionTable::CopyState(SessionId to, SessionId from) {
  At(to).length = At(from).length;
  At(to).reach = At(from).reach;
}

Gate SessionTable::IsOpen(SessionId id) const {
  if (id.index < 0 || id.index >= static_cast<int>(places_.size()))
    return Gate::No("session {}: expected an index in 0..{}", id.index, places_.size() - 1);
  const Place& place = At(id);
  if (!place.open || place.generation != id.generation)
    return Gate::No("session {} (generation {}) is closed", id.index, id.generation);
  return Gate::Yes();
}

void SessionTable::RequireOpen(SessionId id) const {
  const Gate gate = IsOpen(id);
  Require(gate.ok, "{}", gate.reason);
}

Gate SessionTable::CanTruncate(SessionId id, int length) const {
  if (const Gate open = IsOpen(id); !open) return open;
  const Place& place = At(id);
  if (length < 0 || length > place.length)
    return Gate::No("session {}: truncate to {}, expected 0..{}", id.index, length, place.length);
  if (length == 0) return Gate::Yes();
  for (const KvCacheSpec& cache : plan_.caches) {
    // The next query, at `length`, needs positions from length - window + 1 on; the ring holds those from reach - slots
    // on.
    const int oldest = place.reach - cache.slots;
    if (cache.window > 0 && std::max(0, length - cache.window + 1) < oldest)
      return Gate::No(
          "session {}: truncate to {} needs positions from {} of layer {}, whose ring of {} slots holds them from {} "
          "on",
          id.index, length, std::max(0, length - cache.window + 1), cache.writer, cache.slots, oldest);
  }
  return Gate::Yes();
}

void SessionTable::Truncate(SessionId id, int length) {
  const Gate gate = CanTruncate(id, length);
  Require(gate.ok, "{}", gate.reason);
  At(id).length = length;
  if (length == 0) At(id).reach = 0;
}

void SessionTable::Touch(SessionId id, int reach) { At(id).reach = std::max(At(id).reach, reach); }

void SessionTable::Grow(SessionId id, int tokens) {
  At(id).length += tokens;
  Touch(id, At(id).length);
}

}  // namespace assay

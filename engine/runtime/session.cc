#include "engine/runtime/session.h"

#include <algorithm>

namespace assay {

Support SessionTable::CanOpen() const {
  if (open_ < static_cast<int>(places_.size())) return Support::Yes();
  return Support::No("all {} session places are taken; close one or raise max_sessions", places_.size());
}

SessionId SessionTable::Open() {
  const Support support = CanOpen();
  Require(support.ok, "open session: {}", support.reason);
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

Support SessionTable::IsOpen(SessionId id) const {
  if (id.index < 0 || id.index >= static_cast<int>(places_.size()))
    return Support::No("session {}: expected an index in 0..{}", id.index, places_.size() - 1);
  const Place& place = At(id);
  if (!place.open || place.generation != id.generation)
    return Support::No("session {} (generation {}) is closed", id.index, id.generation);
  return Support::Yes();
}

void SessionTable::RequireOpen(SessionId id) const {
  const Support support = IsOpen(id);
  Require(support.ok, "{}", support.reason);
}

Support SessionTable::CanTruncate(SessionId id, int length) const {
  if (const Support open = IsOpen(id); !open) return open;
  const Place& place = At(id);
  if (length < 0 || length > place.length)
    return Support::No("session {}: truncate to {}, expected 0..{}", id.index, length, place.length);
  if (length == 0) return Support::Yes();
  for (const KvCacheSpec& cache : plan_.caches) {
    // The next query, at `length`, needs positions from length - window + 1 on; the ring holds those from reach - slots
    // on.
    const int oldest = place.reach - cache.slots;
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
  if (length == 0) At(id).reach = 0;
}

void SessionTable::Touch(SessionId id, int reach) { At(id).reach = std::max(At(id).reach, reach); }

void SessionTable::Grow(SessionId id, int tokens) {
  At(id).length += tokens;
  Touch(id, At(id).length);
}

}  // namespace assay

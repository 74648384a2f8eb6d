// Who is open, how long each session is, and how far back its rings reach. Host state only.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/check.h"
#include "engine/model/kv_plan.h"
#include "engine/runtime/engine.h"

namespace assay {

class SessionTable {
 public:
  SessionTable(const KvPlan& plan, int places) : plan_(plan), places_(static_cast<std::size_t>(places)) {}

  Support CanOpen() const;
  SessionId Open();  // throws InputError with CanOpen's reason
  void Close(SessionId id);
  void CopyState(SessionId to, SessionId from);
  Support IsOpen(SessionId id) const;  // names the session when it is not
  void RequireOpen(SessionId id) const;
  int Length(SessionId id) const { return At(id).length; }
  Support CanTruncate(SessionId id, int length) const;
  void Truncate(SessionId id, int length);
  // Positions below `reach` may now have been written, whether the step succeeds or not: rings can no longer go back as
  // far.
  void Touch(SessionId id, int reach);
  void Grow(SessionId id, int tokens);  // after a step has completed
  int open() const { return open_; }

 private:
  struct Place {
    std::uint32_t generation = 0;
    bool open = false;
    int length = 0;
    int reach = 0;  // one past the highest position ever written by this session
  };
  const Place& At(SessionId id) const { return places_[static_cast<std::size_t>(id.index)]; }
  Place& At(SessionId id) { return places_[static_cast<std::size_t>(id.index)]; }

  const KvPlan& plan_;
  std::vector<Place> places_;
  int open_ = 0;
};

}  // namespace assay

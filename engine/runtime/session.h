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
  SessionTable(const KvPlan& plan, int max_sessions) : plan_(plan), sessions_(max_sessions) {}

  Support CanOpen() const;
  SessionId Open();  // throws InputError with CanOpen's reason
  void Close(SessionId id);
  void CopyState(SessionId to, SessionId from);
  Support IsOpen(SessionId id) const;  // names the session when it is not
  void RequireOpen(SessionId id) const;
  int Length(SessionId id) const { return At(id).length; }
  int HighWater(SessionId id) const { return At(id).high_water; }  // no position from here on was ever written
  Support CanTruncate(SessionId id, int length) const;
  void Truncate(SessionId id, int length);
  // Positions below `high_water` may now have been written, whether the step succeeds or not: rings can no longer go
  // back as far.
  void MarkWritten(SessionId id, int high_water);
  void Commit(SessionId id, int tokens);  // after a step has completed
  int open() const { return open_; }

 private:
  struct Session {
    std::uint32_t generation = 0;
    bool open = false;
    int length = 0;
    int high_water = 0;  // one past the highest position ever written by this session
  };
  const Session& At(SessionId id) const { return sessions_[id.index]; }
  Session& At(SessionId id) { return sessions_[id.index]; }

  const KvPlan& plan_;
  std::vector<Session> sessions_;  // by session index, open and closed
  int open_ = 0;
};

}  // namespace assay

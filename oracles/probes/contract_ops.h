// Ops that hold their caller to the contract of ops.h: what the description of a step's rows promises. On the host
// only, where every call can look.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/check.h"
#include "oracles/probes/forwarding_ops.h"

namespace assay {

// A call that breaks the contract throws Error, which is none of what an engine expects of a device.
class ContractOps : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

  void Embed(const EmbedArgs& args) override {
    Hold(*args.rows);
    for (int r = 0; r < args.rows->count; ++r)
      Keep(args.rows->token[r] >= 0 && args.rows->token[r] < args.table->rows, "row {}: token {} of a table of {} rows",
           r, args.rows->token[r], args.table->rows);
    ForwardingOps::Embed(args);
  }
  void Qkv(const QkvArgs& args) override {
    Hold(*args.rows);
    if (args.kv != nullptr) Hold(*args.rows, *args.kv);
    ForwardingOps::Qkv(args);
  }
  void Attention(const AttentionArgs& args) override {
    Hold(*args.rows);
    Hold(*args.rows, *args.kv);
    ForwardingOps::Attention(args);
  }

 private:
  template <class... Values>
  void Keep(bool ok, fmt::format_string<Values...> text, Values&&... values) const {
    if (!ok)
      Throw<Error>("contract of ops broken in layer {}, {}: {}", site().layer, site().step,
                   fmt::format(text, std::forward<Values>(values)...));
  }
  void Hold(const Rows& rows) const {
    Keep(rows.count > 0, "{} rows", rows.count);
    int row = 0;
    for (int s = 0; s < rows.segments; ++s) {
      const Segment& segment = rows.segment[s];
      Keep(segment.first_row == row && segment.rows > 0, "segment {} begins at row {}, the one before ends at {}", s,
           segment.first_row, row);
      for (int i = 0; i < segment.rows && row < rows.count; ++i, ++row)
        Keep(rows.session[row] == segment.session && rows.position[row] == segment.first_position + i,
             "row {} is position {} of session {}, its segment says position {} of session {}", row, rows.position[row],
             rows.session[row], segment.first_position + i, segment.session);
    }
    Keep(row == rows.count, "segments of {} rows, {} rows", row, rows.count);
    for (int r = 0; r < rows.count; ++r)
      Keep(rows.session[r] < 0 || (rows.position[r] >= 0 && rows.position[r] < rows.context_bound),
           "row {}: position {} with a context bound of {}", r, rows.position[r], rows.context_bound);
  }
  void Hold(const Rows& rows, const KvView& kv) const {
    for (int r = 0; r < rows.count; ++r)
      Keep(rows.session[r] < kv.sessions, "row {}: session {} of {}", r, rows.session[r], kv.sessions);
  }
};

}  // namespace assay

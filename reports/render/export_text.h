// What exports share: text that any reader takes, and what did not pass, in order.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "reports/format/report.h"

namespace assay {

// UTF-8 that XML 1.0 can hold. Names come from files that anybody made: bytes that are no UTF-8 and characters that XML
// forbids become U+FFFD, control characters stand as "\x1B", marks that turn or hide text as "\u202E", and a carriage
// return is a line's end.
std::string WellFormed(std::string_view text);
// In one line: a line's end or a tab is a space.
std::string OneLine(std::string_view text);
// At most `most` bytes, not through a character; what was cut ends in "...".
std::string Cut(std::string text, std::size_t most);
// "1.25 ms": in seconds, milliseconds or microseconds, four digits.
std::string TimeText(double seconds);

// Something that keeps a run from passing.
struct Trouble {
  std::string what;      // "not complete"; a status: "error", "fail", "unstable"; of a gate a cell's verdict, ...
  std::string id;        // of case or row; empty for the run itself
  std::string cause;     // never empty
  std::string headroom;  // printed; empty where nothing was compared
  std::string replay;    // may be empty
};
// The run's own first, then errors, failures by how far they are out, rows that were not timed freely, cells of a gate.
// Empty exactly when the verdict is PASS.
std::vector<Trouble> Troubles(const Report& report);

// "3 of 5 cases passed, 1 failed, 0 errored, 1 skipped; 1 of 2 rows timed".
std::string CountsLine(const Report& report);
std::string CommitName(const Report& report);   // "0123456 (dirty)"
std::string DeviceNames(const Report& report);  // GPUs, or the processor

}  // namespace assay

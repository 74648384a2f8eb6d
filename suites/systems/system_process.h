// A system under test as a child process that speaks the protocol: one process, its requests and its end.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "reports/process/child_process.h"
#include "suites/systems/shared_rows.h"
#include "suites/systems/wire.h"

namespace assay {

// The process crashed, hung, wrote what is no message or broke a promise of the protocol. The text says how it ended,
// what it was asked last, and the end of what it printed. The process is gone; another one is needed.
class SystemFailure : public Error {
 public:
  using Error::Error;
};

struct SystemCommand {
  std::string command;      // for /bin/sh
  double timeout_s = 60;    // of a request; a load may take ten times as long
  bool shares_rows = true;  // offers it memory for rows, which it may use
};

class SystemProcess {
 public:
  // Starts it and exchanges hello. Throws SystemFailure.
  explicit SystemProcess(const SystemCommand& command);
  ~SystemProcess();  // closes the stream, waits a little, then kills what is left

  const Json& hello() const { return hello_; }
  bool healthy() const { return wire_ != nullptr; }

  // Sends {"request": `what`, ...} and returns the answer, without bytes. Throws what an error answer says:
  // InputError (input, capacity), OutOfMemory, DeviceError, Unsupported, Error (internal); and SystemFailure.
  Json Ask(const std::string& what, Json request = Json::object());
  // The same for an answer that has rows: `expect` checks the answer and says where they go.
  using Expect = std::function<std::vector<RowsPart>(const Json& answer)>;
  Json Ask(const std::string& what, Json request, const Expect& expect);
  // Ends it because it broke a promise. Throws SystemFailure.
  [[noreturn]] void Fail(const std::string& how);

  // For checks of the protocol: anything as a line, and the next line of the answer.
  std::string Exchange(const std::string& line, double timeout_s);
  // Closes the stream, as at the end of a run, and waits so long.
  std::optional<ChildProcess::End> Close(std::chrono::milliseconds patience);

 private:
  Json Read(const std::string& what, Wire::Deadline deadline);
  void ReadRows(const std::string& what, const Json& answer, const Expect& expect, Wire::Deadline deadline);
  void Heard(std::string_view text);

  SystemCommand command_;
  std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<Wire> wire_;          // null: it ended
  std::unique_ptr<SharedRows> shared_;  // null: none was offered
  int output_ = -1;
  Json hello_;
  std::string last_;  // request
  std::string said_;  // the end of both of its streams
  std::int64_t id_ = 0;
};

}  // namespace assay

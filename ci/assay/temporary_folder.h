// A folder for what child processes write.
#pragma once

#include <stdlib.h>  // mkdtemp is POSIX

#include <filesystem>
#include <string>
#include <system_error>

#include "reports/format/report.h"

namespace assay {

// Removed with everything in it at the end of scope, unless it is kept. Throws ReportError where there is no room.
class TemporaryFolder {
 public:
  TemporaryFolder() : path_((std::filesystem::temp_directory_path() / "assay-run-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) throw ReportError("cannot make a folder like " + path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!kept_) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  void Keep() { kept_ = true; }

 private:
  std::string path_;
  bool kept_ = false;
};

}  // namespace assay

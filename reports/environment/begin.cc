#include "reports/environment/begin.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <random>

#include "reports/environment/build.h"
#include "reports/environment/host.h"

namespace assay {

std::string Now() { return TimeText(std::chrono::system_clock::now()); }

std::string TimeText(std::chrono::system_clock::time_point time) {
  // Towards the past, so that milliseconds are never negative; a report has room for four digits of a year.
  constexpr std::int64_t kFirst = -62135596800, kLast = 253402300799;
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const std::time_t seconds = std::clamp<std::int64_t>(whole.time_since_epoch().count(), kFirst, kLast);
  std::tm utc;
  ::gmtime_r(&seconds, &utc);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(time - whole).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, milliseconds);
}

std::string FinishedAt(const Report& report) { return std::max(Now(), report.started); }

std::string NewRunId() {
  std::random_device source;
  unsigned char bytes[16];
  for (int i = 0; i < 16; i += 4) {
    const std::uint32_t word = source();
    std::memcpy(bytes + i, &word, 4);
  }
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string hex;
  for (const unsigned char byte : bytes) hex += fmt::format("{:02x}", byte);
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                     hex.substr(20));
}

Report BeginReport(std::string kind, int argc, const char* const* argv) {
  Report report;
  report.run_id = NewRunId();
  report.kind = std::move(kind);
  report.argv.assign(argv, argv + argc);
  if (argc > 0) report.argv[0] = std::filesystem::path(argv[0]).filename().string();
  report.started = Now();
  report.environment.build = ThisBuild();
  report.environment.host = ThisHost();
  report.environment.variables = EnvironmentVariables();
  return report;
}

}  // namespace assay

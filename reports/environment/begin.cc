#include "reports/environment/begin.h"

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <random>

#include "reports/environment/build.h"
#include "reports/environment/host.h"

namespace assay {

std::string Now() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto milliseconds =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc;
  ::gmtime_r(&seconds, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:03}Z", text, milliseconds);
}

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

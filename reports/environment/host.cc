#include "reports/environment/host.h"

#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string_view>
#include <thread>

namespace assay {
namespace {

constexpr std::string_view kPrefixes[] = {"CUDA_", "NVIDIA_", "CUBLAS_", "OMP_"};

// The value of "key<tabs>: value" in a /proc or os-release style file; empty when absent.
std::string Field(const char* path, std::string_view key, char separator) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (line.compare(0, key.size(), key) != 0) continue;
    std::size_t at = line.find(separator);
    if (at == std::string::npos) continue;
    at = line.find_first_not_of(" \t\"", at + 1);
    if (at == std::string::npos) return "";
    return line.substr(at, line.find_last_not_of(" \t\"") + 1 - at);
  }
  return "";
}

}  // namespace

HostInfo ThisHost() {
  HostInfo info;
  char name[256] = "";
  if (::gethostname(name, sizeof name - 1) == 0) info.name = name;
  info.cpu = Field("/proc/cpuinfo", "model name", ':');
  info.os = Field("/etc/os-release", "PRETTY_NAME", '=');
  utsname system;
  if (::uname(&system) == 0) {
    info.kernel = fmt::format("{} {}", system.sysname, system.release);
    if (info.cpu.empty()) info.cpu = system.machine;
  }
  info.cores = std::thread::hardware_concurrency();
  info.memory_bytes = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  return info;
}

std::map<std::string, std::string> EnvironmentVariables() {
  std::map<std::string, std::string> variables;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view entry = *at;
    const std::size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = entry.substr(0, equals);
    if (std::none_of(std::begin(kPrefixes), std::end(kPrefixes), [&](auto prefix) { return name.starts_with(prefix); }))
      continue;
    std::string value(entry.substr(equals + 1));
    std::replace_if(
        value.begin(), value.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
    variables[std::string(name)] = std::move(value);
  }
  return variables;
}

}  // namespace assay

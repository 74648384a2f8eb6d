#include "reports/environment/host.h"

#include <fmt/core.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
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

std::int64_t GroupLimit(const std::string& groups, const std::string& mount) {
  namespace fs = std::filesystem;
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  // "0::/path" is of version 2, "4:memory:/path" of version 1.
  const auto take = [&](const fs::path& root, std::string path, const char* file) {
    for (;; path.resize(path.find_last_of('/'))) {
      std::ifstream in(root / fs::path("." + path) / file);
      if (std::int64_t limit = 0; in >> limit && limit > 0) least = std::min(least, limit);  // "max" is no number
      if (path.find('/') == std::string::npos) return;
    }
  };
  std::istringstream lines(groups);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t first = line.find(':'), second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      take(mount, path, "memory.max");
      take(fs::path(mount) / "unified", path, "memory.max");
    } else if (controllers.find(",memory,") != std::string::npos) {
      take(fs::path(mount) / "memory", path, "memory.limit_in_bytes");
    }
  }
  return least;
}

std::int64_t UsableMemory() {
  std::ifstream in("/proc/self/cgroup");
  const std::string groups{std::istreambuf_iterator<char>(in), {}};
  return std::min(ThisHost().memory_bytes, GroupLimit(groups, "/sys/fs/cgroup"));
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

#include "reports/context.h"

#include <elf.h>
#include <fmt/core.h>
#include <link.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <random>
#include <thread>

#include "reports/build_info.h"

namespace assay {
namespace {

std::string Hex(const unsigned char* bytes, std::size_t count) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) text += fmt::format("{:02x}", bytes[i]);
  return text;
}

// Looks for the GNU build id among the notes of one loaded object; the first object is the program itself.
int FindBuildId(dl_phdr_info* info, std::size_t, void* out) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto* at = reinterpret_cast<const unsigned char*>(info->dlpi_addr + segment.p_vaddr);
    const auto* end = at + segment.p_memsz;
    while (end - at > static_cast<std::ptrdiff_t>(sizeof(ElfW(Nhdr)))) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const std::size_t name = (note.n_namesz + 3u) & ~3u, body = (note.n_descsz + 3u) & ~3u;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(at + sizeof note, "GNU", 4) == 0) {
        *static_cast<std::string*>(out) = Hex(at + sizeof note + name, note.n_descsz);
        return 1;
      }
      at += sizeof note + name + body;
    }
  }
  return 1;
}

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

BuildInfo ThisBuild() {
  BuildInfo info = CompiledBuildInfo();
  dl_iterate_phdr(FindBuildId, &info.build_id);
  return info;
}

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
  const std::string hex = Hex(bytes, 16);
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4), hex.substr(16, 4),
                     hex.substr(20));
}

Report BeginReport(std::string kind, int argc, const char* const* argv) {
  Report report;
  report.run_id = NewRunId();
  report.kind = std::move(kind);
  report.argv.assign(argv, argv + argc);
  report.started = Now();
  report.build = ThisBuild();
  report.host = ThisHost();
  return report;
}

}  // namespace assay

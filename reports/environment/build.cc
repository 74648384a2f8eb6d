#include "reports/environment/build.h"

#include <elf.h>
#include <fmt/core.h>
#include <fmt/format.h>
#include <link.h>

#include <cstring>

#include "reports/environment/build_info.h"

namespace assay {
namespace {

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
        *static_cast<std::string*>(out) =
            fmt::format("{:02x}", fmt::join(at + sizeof note + name, at + sizeof note + name + note.n_descsz, ""));
        return 1;
      }
      at += sizeof note + name + body;
    }
  }
  return 1;
}

}  // namespace

BuildInfo ThisBuild() {
  BuildInfo info = CompiledBuildInfo();
  dl_iterate_phdr(FindBuildId, &info.build_id);
  return info;
}

}  // namespace assay

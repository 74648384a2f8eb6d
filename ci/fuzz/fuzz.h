// What fuzz targets share. A target takes any bytes: a reader reads them or throws the error of its room; anything
// else, a crash, a hang or another exception, is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "engine/base/check.h"
#include "engine/weights/finite.h"
#include "engine/weights/store.h"
#include "reports/format/report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace assay {

// A folder in memory, of this process.
inline const std::string& FuzzFolder() {
  static const std::string folder = [] {
    const std::filesystem::path path = std::filesystem::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    std::string name = (path / "assay-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw Error("no folder for inputs");
    static const struct Remover {
      std::string path;
      ~Remover() {
        std::error_code none;
        std::filesystem::remove_all(path, none);
      }
    } remover{name};
    return name;
  }();
  return folder;
}

inline std::string PutInput(const std::string& name, std::string_view bytes) {
  const std::string path = FuzzFolder() + "/" + name;
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  return path;
}

template <class Read>
int Fuzzed(Read&& read) {
  try {
    read();
  } catch (const InputError&) {
  } catch (const ReportError&) {
  }
  return 0;
}

inline std::string_view TextOf(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Everything that a store is asked for.
inline void ReadAll(const WeightStore& store) {
  store.Listing();
  store.UnreadKeys();
  store.Identity();
  for (const TensorEntry& entry : Catalogue(store.spec()))
    if (store.Has(entry.key)) RequireFinite(store.Load(entry.key));
}

}  // namespace assay

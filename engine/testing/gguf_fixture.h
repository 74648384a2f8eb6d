// The small GGUF files of the repository, opened after a change.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "engine/base/check.h"
#include "engine/testing/fixtures.h"
#include "engine/testing/gguf_image.h"
#include "engine/testing/scratch_folder.h"
#include "engine/weights/gguf.h"

namespace assay {

inline std::string TinyGgufPath(const std::string& name) { return Fixture("goldens/gguf-tiny/" + name + ".gguf"); }
inline GgufImage TinyGguf(const std::string& name) { return GgufImage::Read(TinyGgufPath(name)); }

// The store of an image, written to a folder that lives as long as the store.
struct OpenedGguf {
  ScratchFolder folder;
  std::unique_ptr<WeightStore> store;
  explicit OpenedGguf(const GgufImage& image) : store(OpenGguf(folder.Put("model.gguf", image.Bytes()))) {}
  WeightStore* operator->() const { return store.get(); }
};

// The message OpenGguf refuses the image with; empty when it is accepted.
inline std::string Refusal(const GgufImage& image) {
  ScratchFolder folder;
  const std::string path = folder.Put("model.gguf", image.Bytes());
  try {
    OpenGguf(path);
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << "names no file: " << error.what();
    return error.what();
  }
  return "";
}

}  // namespace assay

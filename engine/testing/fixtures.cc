#include "engine/testing/fixtures.h"

#include <cstdlib>

namespace assay {

std::string Fixture(const std::string& path) {
  const char* root = std::getenv("ASSAY_FIXTURES");
  return std::string(root != nullptr && *root != '\0' ? root : ASSAY_FIXTURES) + "/" + path;
}

}  // namespace assay

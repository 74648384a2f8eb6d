#include "reports/format/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace assay {
namespace {

struct Digest {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  explicit Digest(std::string_view text) {
    EVP_Digest(text.data(), text.size(), bytes.data(), &size, EVP_sha256(), nullptr);
  }
};

}  // namespace

std::string Sha256(std::string_view text) {
  const Digest digest(text);
  return fmt::format("{:02x}", fmt::join(digest.bytes.data(), digest.bytes.data() + digest.size, ""));
}

std::string Sha256Base64(std::string_view text) {
  const Digest digest(text);
  std::array<unsigned char, 4 * ((EVP_MAX_MD_SIZE + 2) / 3) + 1> encoded{};
  const int size = EVP_EncodeBlock(encoded.data(), digest.bytes.data(), static_cast<int>(digest.size));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(size)};
}

}  // namespace assay

#include "reports/format/sha256.h"

#include <openssl/evp.h>

#include <array>

namespace assay {

constexpr std::string_view kDigits = "0123456789abcdef";

std::string Sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
  std::string hex;
  for (const unsigned char byte : std::string_view(reinterpret_cast<const char*>(digest.data()), size)) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace assay

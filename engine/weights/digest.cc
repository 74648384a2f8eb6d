#include "engine/weights/digest.h"

#include <openssl/evp.h>

#include <array>

#include "engine/base/check.h"

namespace assay {

Digest::Digest() : context_(EVP_MD_CTX_new()) {
  if (context_ != nullptr && EVP_DigestInit_ex(static_cast<EVP_MD_CTX*>(context_), EVP_sha256(), nullptr) == 1) return;
  EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_));
  Throw<Error>("SHA-256 is not available from the crypto library");
}

Digest::~Digest() { EVP_MD_CTX_free(static_cast<EVP_MD_CTX*>(context_)); }

void Digest::AddRaw(const void* data, std::size_t bytes) {
  Require<Error>(EVP_DigestUpdate(static_cast<EVP_MD_CTX*>(context_), data, bytes) == 1, "SHA-256 failed on {} bytes",
                 bytes);
}

Digest& Digest::Add(std::span<const std::byte> bytes) {
  Add(static_cast<std::uint64_t>(bytes.size()));
  AddRaw(bytes.data(), bytes.size());
  return *this;
}

Digest& Digest::Add(std::string_view text) { return Add(std::as_bytes(std::span(text.data(), text.size()))); }

Digest& Digest::Add(std::uint64_t number) {
  std::array<unsigned char, 8> little{};
  for (std::size_t i = 0; i < little.size(); ++i) little[i] = static_cast<unsigned char>(number >> (8 * i));
  AddRaw(little.data(), little.size());
  return *this;
}

std::string Digest::Hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int bytes = 0;
  Require<Error>(EVP_DigestFinal_ex(static_cast<EVP_MD_CTX*>(context_), hash.data(), &bytes) == 1, "SHA-256 failed");
  std::string hex;
  for (unsigned int i = 0; i < bytes; ++i) hex += fmt::format("{:02x}", hash[i]);
  return hex;
}

}  // namespace assay

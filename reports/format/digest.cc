#include "reports/format/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace assay {
namespace {

struct Digest {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  Digest() = default;
  explicit Digest(std::string_view text) {
    EVP_Digest(text.data(), text.size(), bytes.data(), &size, EVP_sha256(), nullptr);
  }
  std::string Hex() const { return fmt::format("{:02x}", fmt::join(bytes.data(), bytes.data() + size, "")); }
};

}  // namespace

struct Sha256Stream::Context {
  EVP_MD_CTX* const state = EVP_MD_CTX_new();
  Context() { EVP_DigestInit_ex(state, EVP_sha256(), nullptr); }
  ~Context() { EVP_MD_CTX_free(state); }
  Context(const Context& other) { EVP_MD_CTX_copy_ex(state, other.state); }
  Context& operator=(const Context&) = delete;
};

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {}
Sha256Stream::~Sha256Stream() = default;

void Sha256Stream::Add(std::string_view piece) { EVP_DigestUpdate(context_->state, piece.data(), piece.size()); }

std::string Sha256Stream::Hex() const {
  const Context so_far(*context_);
  Digest digest;
  EVP_DigestFinal_ex(so_far.state, digest.bytes.data(), &digest.size);
  return digest.Hex();
}

std::string Sha256(std::string_view text) { return Digest(text).Hex(); }

std::string Sha256Base64(std::string_view text) {
  const Digest digest(text);
  std::array<unsigned char, 4 * ((EVP_MAX_MD_SIZE + 2) / 3) + 1> encoded{};
  const int size = EVP_EncodeBlock(encoded.data(), digest.bytes.data(), static_cast<int>(digest.size));
  return {reinterpret_cast<const char*>(encoded.data()), static_cast<std::size_t>(size)};
}

}  // namespace assay

// SHA-256, for the identity of models in reports.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace assay {

// Each piece is hashed with its length before it, so that pieces cannot run into each other.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  Digest& Add(std::span<const std::byte> bytes);
  Digest& Add(std::string_view text);
  Digest& Add(std::uint64_t number);
  // Lower-case hexadecimal. Call once, last.
  std::string Hex();

 private:
  void AddRaw(const void* data, std::size_t bytes);
  void* context_;  // EVP_MD_CTX
};

}  // namespace assay

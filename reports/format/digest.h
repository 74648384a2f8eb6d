// Digests by which texts are known.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace assay {

std::string Sha256(std::string_view text);        // in hexadecimal
std::string Sha256Base64(std::string_view text);  // as a content security policy names a script

// The same of a text that comes in pieces.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  void Add(std::string_view piece);
  std::string Hex() const;  // of all pieces so far

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace assay

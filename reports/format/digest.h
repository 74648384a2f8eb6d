// Digests by which texts are known.
#pragma once

#include <string>
#include <string_view>

namespace assay {

std::string Sha256(std::string_view text);        // in hexadecimal
std::string Sha256Base64(std::string_view text);  // as a content security policy names a script

}  // namespace assay

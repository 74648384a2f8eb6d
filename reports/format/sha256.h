// The digest of text, in hexadecimal.
#pragma once

#include <string>
#include <string_view>

namespace assay {

std::string Sha256(std::string_view text);

}  // namespace assay

// Text in gzip's format, the same bytes for the same text.
#pragma once

#include <string>
#include <string_view>

namespace assay {

bool IsGzipPath(std::string_view path);  // ends in ".gz"

// Without a time or a name in its header.
std::string Compressed(std::string_view text);
// Throws ReportError naming `path` for bytes that are not one whole gzip file, and for more than 1 GiB of text.
std::string Decompressed(std::string_view bytes, const std::string& path);

}  // namespace assay

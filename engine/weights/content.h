// What of a checkpoint's data goes into its identity.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/weights/digest.h"
#include "engine/weights/input_file.h"
#include "engine/weights/store.h"

namespace assay {

// Adds the bytes of one tensor: all of up to 1 MiB. Of a longer one, kSampled takes eight blocks of 4 KiB, at even
// distances from its first byte to its last.
void AddContent(Digest* digest, const InputFile& file, std::uint64_t offset, std::uint64_t bytes, std::string_view name,
                IdentityExtent extent);

// What `make` gives, kept for files of these paths, sizes and times in $XDG_CACHE_HOME/assay or ~/.cache/assay. A cache
// that cannot be read or written is none.
std::string RememberedFor(const std::vector<std::shared_ptr<const InputFile>>& files,
                          const std::function<std::string()>& make);

}  // namespace assay

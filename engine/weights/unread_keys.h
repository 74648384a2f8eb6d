// What no loader asked for: keys of a configuration and tensors of a file. Each is known to be harmless, refused
// because it may change the arithmetic, or reported. The rules are data with reasons, in unread_keys.cc. For .cc files
// of this room.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace assay {

// A key that was not read. `reason` says why that is harmless; empty: nobody knows the key.
struct UnreadKey {
  std::string key;  // "text_config.use_cache", "llama.vocab_size"
  std::string reason;
};

// The keys of `document` whose paths are not in `reads`; objects that nobody opened count as one key. Throws InputError
// that begins with `where` and names the key when one of them may change the arithmetic of a `family` decoder and does
// not have a value that switches it off.
std::vector<UnreadKey> UnreadConfigKeys(const nlohmann::json& document, const std::set<std::string>& reads,
                                        std::string_view family, const std::string& where);

// The same judgement of one GGUF key that was not read; `off`: its value switches off whatever it is.
UnreadKey UnreadMetadataKey(const std::string& key, const std::string& architecture, bool off,
                            const std::string& where);

// Why a stored tensor that is not read does no harm; empty: unknown.
std::string HarmlessTensor(std::string_view name);

}  // namespace assay

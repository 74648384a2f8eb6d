#include "engine/weights/unread_keys.h"

#include <nlohmann/json.hpp>

#include "engine/base/check.h"
#include "engine/text/foreign.h"
#include "engine/weights/strict_json.h"

namespace assay {
namespace {

using nlohmann::json;

// `*` stands for any text. A key is held against the rows in order; the first that fits decides.
struct Rule {
  std::string_view key;
  std::string_view reason;
  std::string_view families = "";  // empty: all; otherwise names between spaces
};

constexpr std::string_view kDescribes = "describes the file", kTokens = "names tokens", kTraining = "training only",
                           kGenerates = "a default of text generation", kComputes = "how, not what, is computed",
                           kOutputs = "what a library returns besides logits",
                           kTower = "another part of the checkpoint",
                           kAbsent = "transformers does not read it for this family",
                           kMixture = "read with enable_moe_block only";

constexpr Rule kHarmless[] = {
    {"_name_or_path", kDescribes},
    {"architectures", kDescribes},
    {"transformers*version", kDescribes},
    {"transformers.js_config", kDescribes},
    {"*dtype", kDescribes},
    {"model_type", kDescribes},
    {"auto_map", kDescribes},
    {"*id2label", kDescribes},
    {"label2id", kDescribes},
    {"problem_type", kDescribes},
    {"finetun*", kDescribes},
    {"task_specific_params", kDescribes},
    {"_commit_hash", kDescribes},
    {"unsloth_*", kDescribes},
    {"is_llama_config", kDescribes},
    {"name", kDescribes},
    {"tokenizer_class", kTokens},
    {"*_token_id", kTokens},
    {"*_token_ids", kTokens},
    {"*_token_index", kTokens},
    {"*_tokens_per_image", kTokens},
    {"image_token*", kTokens},
    {"*dropout*", kTraining},
    {"initializer*", kTraining},
    {"embd_pdrop", kTraining},
    {"resid_pdrop", kTraining},
    {"gradient_checkpointing", kTraining},
    {"pretraining_tp", kComputes},
    {"use_cache", kComputes},
    {"cache_implementation", kComputes},
    {"*attn_implementation*", kComputes},
    {"experts_implementation", kComputes},
    {"use_flash_attention*", kComputes},
    {"chunk_size_feed_forward", kComputes},
    {"torchscript", kComputes},
    {"use_bfloat16", kComputes},
    {"tf_legacy_loss", kTraining},
    {"output_*", kOutputs},
    {"return_dict*", kOutputs},
    {"use_return_dict", kOutputs},
    {"max_length", kGenerates},
    {"min_length", kGenerates},
    {"do_sample", kGenerates},
    {"early_stopping", kGenerates},
    {"num_beam*", kGenerates},
    {"num_return_sequences", kGenerates},
    {"temperature", kGenerates},
    {"top_k", kGenerates},
    {"top_p", kGenerates},
    {"typical_p", kGenerates},
    {"*_penalty", kGenerates},
    {"*no_repeat_ngram_size", kGenerates},
    {"bad_words_ids", kGenerates},
    {"suppress_tokens", kGenerates},
    {"begin_suppress_tokens", kGenerates},
    {"forced_*", kGenerates},
    {"remove_invalid_values", kGenerates},
    {"prefix", kGenerates},
    {"vision_*", kTower},
    {"audio_*", kTower},
    {"image_*", kTower},
    {"video_*", kTower},
    {"boi_*", kTower},
    {"eoi_*", kTower},
    {"boa_*", kTower},
    {"eoa_*", kTower},
    {"mm_*", kTower},
    {"tie_word_embeddings", "the inner text_config states it too"},
    {"final_logit_softcapping", kAbsent, " llama mistral qwen2 qwen3 "},
    {"query_pre_attn_scalar", kAbsent, " llama mistral qwen2 qwen3 gemma4 "},
    {"sliding_window", kAbsent, " llama "},
    {"sliding_window", "read with use_sliding_window only", " qwen2 qwen3 "},
    {"layer_types", kAbsent, " llama mistral "},
    {"layer_types", "read with a window only", " qwen2 qwen3 "},
    {"use_sliding_window", kAbsent, " llama mistral gemma3 gemma4 "},
    {"max_window_layers", "read with use_sliding_window, without layer_types only"},
    {"*sliding_window_pattern", "read without layer_types only", " gemma3 "},
    {"*sliding_window_pattern", kAbsent, " gemma4 "},
    {"rope_theta", "the tables state it", " gemma4 "},
    {"attention_bias", kAbsent, " mistral qwen2 "},
    {"layer_norm_eps*", "this family has RMS norms only"},
    {"num_global_key_value_heads", "read with attention_k_eq_v only", " gemma4 "},
    {"num_experts", kMixture, " gemma4 "},
    {"top_k_experts", kMixture, " gemma4 "},
    {"moe_intermediate_size", kMixture, " gemma4 "},
    {"hidden_size_per_layer_input", "no per-layer embeddings in the unified architecture", " gemma4 "},
    {"vocab_size_per_layer_input", "read with per-layer embeddings only", " gemma4 "},
    {"hidden_act", "hidden_activation is what transformers reads", " gemma3 gemma4 "},
};

// Words of settings that change what a decoder computes: a key with one of them that nobody knows is refused unless it
// is off.
constexpr std::string_view kArithmetic[] = {
    "*act*",         "*adapter*", "*alibi*",    "*attention*", "*attn*",     "*bias*",     "*causal*",  "*cap*",
    "*clip*",        "*conv*",    "*cross*",    "*decay*",     "*depth*",    "*embed*",    "*encoder*", "*expert*",
    "*factor*",      "*ffn*",     "*freq*",     "*gate*",      "*group*",    "*head*",     "*hidden*",  "*inter*",
    "*layer*",       "*logit*",   "*lora*",     "*mamba*",     "*mask*",     "*mlp*",      "*moe*",     "*multiplier*",
    "*norm*",        "*pattern*", "*position*", "*quant*",     "*recurren*", "*residual*", "*rope*",    "*rotary*",
    "*router*",      "*scal*",    "*shared*",   "*sink*",      "*sliding*",  "*soft*",     "*sparse*",  "*ssm*",
    "*temperature*", "*theta*",   "*window*",   "*yarn*"};

// Keys of a GGUF file, without the architecture's prefix where they have one.
constexpr Rule kHarmlessMetadata[] = {
    {"general.*", kDescribes},
    {"quantize.*", kDescribes},
    {"split.*", kDescribes},
    {"tokenizer.*", kTokens},
    {"adapter.type", kDescribes},
    {"mradermacher.*", kDescribes},
    {"clip.*", kTower},
    {"final_logit_softcapping", kAbsent, " llama qwen2 qwen3 "},
    {"mm_*", kTower},
    {"vocab_size", "the embedding's rows say it"},
    {"tensor_data_layout", kDescribes},
    {"vision.*", kTower},
    {"audio.*", kTower},
    {"mm.*", kTower},
    {"rope.scaling.finetuned", kDescribes},
    {"rope.scaling.original_context_length", "read for YaRN only; rope_freqs.weight holds what llama3 makes of it"},
    {"rope.scaling.yarn_*", "read for YaRN only"},
    {"rope.scaling.attn_factor", "read for YaRN only"},
    {"expert_feed_forward_length", "the file has no experts"},
    {"expert_used_count", "the file has no experts"},
    {"attention.layer_norm_epsilon", "this family has RMS norms only"},
};

constexpr Rule kHarmlessTensors[] = {
    {"*rotary_emb.inv_freq", "a precomputed rope table"},
    {"*.attn_rot_embd", "a precomputed rope table"},
    {"rope_freqs.weight", "a precomputed rope table"},
    {"*vision*", kTower},
    {"*audio*", kTower},
    {"*multi_modal*", kTower},
    {"*multimodal*", kTower},
    {"v.*", kTower},
    {"a.*", kTower},
    {"mm.*", kTower},
    {"mtp.*", "an extra predictor"},
    {"*.mtp.*", "an extra predictor"},
};

bool Fits(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] != '*') return !text.empty() && pattern[0] == text[0] && Fits(pattern.substr(1), text.substr(1));
  for (std::size_t skip = 0; skip <= text.size(); ++skip)
    if (Fits(pattern.substr(1), text.substr(skip))) return true;
  return false;
}

template <std::size_t N>
std::string_view ReasonOf(const Rule (&rules)[N], std::string_view key, std::string_view family) {
  for (const Rule& rule : rules) {
    if (!Fits(rule.key, key)) continue;
    if (rule.families.empty() || rule.families.find(fmt::format(" {} ", family)) != std::string_view::npos)
      return rule.reason;
  }
  return "";
}

bool ChangesArithmetic(std::string_view key) {
  for (const std::string_view pattern : kArithmetic)
    if (Fits(pattern, key)) return true;
  return false;
}

// Null, false, nothing, zero, and one for what multiplies.
bool IsOff(const json& value, std::string_view key) {
  if (value.is_null() || (value.is_boolean() && !value.get<bool>())) return true;
  if (value.is_structured() || value.is_string()) return value.empty() || value == "" || value == "none";
  if (!value.is_number()) return false;
  const bool multiplies = Fits("*scal*", key) || Fits("*multiplier*", key) || Fits("*factor*", key);
  return value.get<double>() == 0 || (multiplies && value.get<double>() == 1);
}

void Walk(const json& object, const std::string& path, const std::set<std::string>& reads, std::string_view family,
          const std::string& where, std::vector<UnreadKey>& unread) {
  for (const auto& item : object.items()) {
    const std::string full = path.empty() ? item.key() : fmt::format("{}.{}", path, item.key());
    if (reads.contains(full)) {
      if (item.value().is_object()) Walk(item.value(), full, reads, family, where, unread);
      continue;
    }
    // Names of files are shown in messages: printable ASCII only.
    const std::string shown = ForMessage(full);
    std::string_view reason = ReasonOf(kHarmless, item.key(), family);
    const bool off = IsOff(item.value(), item.key());
    if (reason.empty() && off) reason = "off";
    const bool table = path.find("rope") != std::string::npos;
    Require(!reason.empty() || (!table && !ChangesArithmetic(item.key())),
            "{}: {}: the key is not known for {} and may change what the model computes", where, shown, family);
    unread.push_back({shown, std::string(reason)});
  }
}

}  // namespace

std::vector<UnreadKey> UnreadConfigKeys(const json& document, const std::set<std::string>& reads,
                                        std::string_view family, const std::string& where) {
  std::vector<UnreadKey> unread;
  Walk(document, "", reads, family, where, unread);
  return unread;
}

UnreadKey UnreadMetadataKey(const std::string& key, const std::string& architecture, bool off,
                            const std::string& where) {
  const bool own = key.starts_with(fmt::format("{}.", architecture));
  const std::string name = own ? key.substr(architecture.size() + 1) : key;
  std::string_view reason = ReasonOf(kHarmlessMetadata, name, architecture);
  if (reason.empty() && off) reason = "off";
  Require(!own || !reason.empty() || !ChangesArithmetic(name),
          "{}: key '{}': it is not known for {} and may change what the model computes", where, key, architecture);
  return {key, std::string(reason)};
}

std::string HarmlessTensor(std::string_view name) { return std::string(ReasonOf(kHarmlessTensors, name, "")); }

}  // namespace assay

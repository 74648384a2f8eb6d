#include "engine/weights/hf_rope.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/base/check.h"
#include "engine/weights/config_limits.h"

namespace assay {
namespace {

using nlohmann::json;

constexpr const char* kFull = "full_attention";
constexpr const char* kSliding = "sliding_attention";

// The fields of all rules: a table may hold those of another rule, as files that were edited by hand do.
constexpr const char* kTableKeys[] = {"rope_type",
                                      "type",
                                      "rope_theta",
                                      "factor",
                                      "partial_rotary_factor",
                                      "original_max_position_embeddings",
                                      "low_freq_factor",
                                      "high_freq_factor",
                                      "attention_factor",
                                      "beta_fast",
                                      "beta_slow",
                                      "mscale",
                                      "mscale_all_dim",
                                      "truncate"};

void NoteTable(const JsonFields& table) {
  for (const char* key : kTableKeys) static_cast<void>(table.Mentions(key));
}

RopeRule ParseRule(const JsonFields& fields) {
  struct Rule {
    std::string_view name;
    RopeRule rule;
  };
  static constexpr Rule kRules[] = {{"default", RopeRule::kDefault},
                                    {"linear", RopeRule::kLinear},
                                    {"llama3", RopeRule::kLlama3},
                                    {"yarn", RopeRule::kYarn},
                                    {"proportional", RopeRule::kProportional}};
  // "type" is what older files call it.
  for (const char* key : {"rope_type", "type"}) {
    const auto name = fields.OptionalString(key);
    if (!name) continue;
    const auto found =
        std::find_if(std::begin(kRules), std::end(kRules), [&](const Rule& rule) { return rule.name == *name; });
    Require(found != std::end(kRules),
            "{}: rope of type '{}' is not supported; supported are default, linear, llama3, yarn, proportional",
            fields.At(key), *name);
    return found->rule;
  }
  return RopeRule::kDefault;
}

// A stated table has the rule's own defaults and takes nothing but theta from the family: transformers lets all pairs
// rotate where no partial factor is stated. `top_original` is the original length that stands outside of the table.
RopeConfig ParseTable(const JsonFields& fields, double theta, int positions, std::optional<double> top_original) {
  NoteTable(fields);
  RopeConfig rope;
  rope.rule = ParseRule(fields);
  rope.theta = fields.Number("rope_theta", theta);
  const bool scaled = rope.rule == RopeRule::kLinear || rope.rule == RopeRule::kLlama3 || rope.rule == RopeRule::kYarn;
  Require(!scaled || fields.Has("factor"), "{}: the key is missing", fields.At("factor"));
  rope.factor = fields.Number("factor", 1);
  rope.low = fields.Number("low_freq_factor", rope.low);
  rope.high = fields.Number("high_freq_factor", rope.high);
  rope.original = top_original.value_or(fields.Number("original_max_position_embeddings", positions));
  rope.partial = fields.Number("partial_rotary_factor", 1);
  Require(rope.rule == RopeRule::kProportional || rope.partial == 1, "{}: rope on a part of each head is not supported",
          fields.At("partial_rotary_factor"));
  rope.beta_fast = fields.Number("beta_fast", rope.beta_fast);
  rope.beta_slow = fields.Number("beta_slow", rope.beta_slow);
  rope.attention_factor = fields.Number("attention_factor", 0);
  rope.mscale = fields.Number("mscale", 0);
  rope.mscale_all_dim = fields.Number("mscale_all_dim", 0);
  rope.truncate = fields.Bool("truncate", true);
  return rope;
}

bool IsEmpty(const std::optional<JsonFields>& table) { return !table || table->object().empty(); }

std::optional<JsonFields> ByKind(const std::optional<JsonFields>& tables, const char* kind) {
  return tables ? tables->Object(kind) : std::nullopt;
}

RopePair ParseOneRope(const JsonFields& text, const RopePair& defaults, int positions) {
  const double theta = text.Number("rope_theta", defaults.full.theta);
  const auto parameters = text.Object("rope_parameters"), scaling = text.Object("rope_scaling");
  if (parameters)
    for (const char* kind : {kFull, kSliding})
      Require(!parameters->Has(kind), "{}: a rope for each kind of layer is not supported for this family",
              parameters->At(kind));
  RopeConfig rope = defaults.full;
  rope.theta = theta;
  if (!IsEmpty(scaling) || !IsEmpty(parameters)) {
    // transformers gives an original length outside of the table priority.
    std::optional<double> original;
    if (text.Has("original_max_position_embeddings"))
      original = text.Int("original_max_position_embeddings", 1, kMaxPosition);
    if (parameters) NoteTable(*parameters);
    rope = ParseTable(IsEmpty(scaling) ? *parameters : *scaling, theta, positions, original);
  }
  return {rope, rope};
}

RopePair ParseGemma3(const JsonFields& text, const RopePair& defaults, int positions) {
  const double full_theta = text.Number("rope_theta", defaults.full.theta);
  const double sliding_theta = text.Number("rope_local_base_freq", defaults.sliding.theta);
  const auto parameters = text.Object("rope_parameters"), scaling = text.Object("rope_scaling");
  const auto full = ByKind(parameters, kFull), sliding = ByKind(parameters, kSliding);
  if (parameters) NoteTable(*parameters);  // a flat table is not read: neither kind of layer is in it
  json merged = full ? full->object() : json{{"rope_type", "default"}};
  std::string where = full ? full->where() : text.At("rope_parameters");
  if (full) NoteTable(*full);
  if (!IsEmpty(scaling)) {
    NoteTable(*scaling);
    merged.update(scaling->object());
    where = scaling->where();
  }
  RopePair ropes = defaults;
  ropes.full = ParseTable(JsonFields(merged, where), full_theta, positions, std::nullopt);
  ropes.sliding.theta = sliding_theta;
  if (sliding) ropes.sliding = ParseTable(*sliding, sliding_theta, positions, std::nullopt);
  return ropes;
}

RopePair ParseGemma4(const JsonFields& text, const RopePair& defaults, int positions) {
  // transformers ignores it here; a rule that is meant to change the model must not be lost without a word.
  if (const auto scaling = text.Object("rope_scaling"); scaling && !IsEmpty(scaling)) {
    NoteTable(*scaling);
    Require(ParseRule(*scaling) == RopeRule::kDefault, "{}: Gemma 4 states its ropes in rope_parameters, by layer kind",
            scaling->where());
  }
  RopePair ropes = defaults;
  const auto parameters = text.Object("rope_parameters");
  if (!parameters) return ropes;
  const auto full = parameters->Object(kFull), sliding = parameters->Object(kSliding);
  Require(full || sliding || parameters->object().empty(),
          "{}: one table for both kinds of layers is not supported; expected full_attention and sliding_attention",
          parameters->where());
  if (full) ropes.full = ParseTable(*full, text.Number("rope_theta", defaults.full.theta), positions, std::nullopt);
  if (sliding)
    ropes.sliding = ParseTable(*sliding, text.Number("rope_theta", defaults.sliding.theta), positions, std::nullopt);
  return ropes;
}

}  // namespace

RopePair ParseRopes(const JsonFields& text, std::string_view family, const RopePair& defaults, int positions) {
  if (family == "gemma4") return ParseGemma4(text, defaults, positions);
  if (family == "gemma3") return ParseGemma3(text, defaults, positions);
  return ParseOneRope(text, defaults, positions);
}

}  // namespace assay

#include "engine/weights/requantised.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/parallel.h"
#include "engine/base/quant.h"
#include "engine/weights/digest.h"
#include "engine/weights/input_file.h"
#include "engine/weights/stored_types.h"

namespace assay {
namespace {

struct Suffix {
  const char* text;
  DType type;
};
constexpr Suffix kSuffixes[] = {{"@q8_0", DType::kQ8_0}, {"@q4_0", DType::kQ4_0}};

const char* SuffixOf(DType type) {
  for (const Suffix& suffix : kSuffixes)
    if (suffix.type == type) return suffix.text;
  Throw("weights cannot be quantised to {} when loaded: expected Q8_0 or Q4_0", Name(type));
}

// What products multiply. The router is read as float32 whatever it is stored as, and the per-layer table is looked up
// only: quantising it would change values and save no time.
bool IsProduct(Role role) {
  switch (role) {
    case Role::kEmbed:
    case Role::kHead:
    case Role::kPleProject:
    case Role::kQuery:
    case Role::kKey:
    case Role::kValue:
    case Role::kAttnOut:
    case Role::kGate:
    case Role::kUp:
    case Role::kDown:
    case Role::kExpertGateUp:
    case Role::kExpertDown:
    case Role::kPleGate:
    case Role::kPleOut:
      return true;
    default:
      return false;
  }
}

class RequantisedStore final : public WeightStore {
 public:
  RequantisedStore(std::unique_ptr<WeightStore> base, DType type)
      : base_(std::move(base)), type_(type), spec_(base_->spec()) {
    spec_.name += SuffixOf(type);
  }

  const ModelSpec& spec() const override { return spec_; }
  bool Has(TensorKey key) const override { return base_->Has(key); }
  std::vector<UnreadKey> UnreadKeys() const override { return base_->UnreadKeys(); }
  std::vector<std::string> Notes() const override { return base_->Notes(); }
  std::string format() const override { return fmt::format("{} as {}", base_->format(), Name(type_)); }
  std::string Digested(IdentityExtent extent) const override {
    return Digest().Add("requantised 1").Add(Name(type_)).Add(base_->Identity(extent)).Hex();
  }

  HostTensor Load(TensorKey key, bool recipe_only) const override {
    HostTensor from = base_->Load(key, recipe_only || IsProduct(key.role));
    if (!IsProduct(key.role)) return from;
    if (!Fits(from.cols)) return from.data == nullptr && !recipe_only ? base_->Load(key, false) : from;
    HostTensor to;
    to.type = type_;
    to.experts = from.experts;
    to.rows = from.rows;
    to.cols = from.cols;
    to.bytes = StoredBytes(type_, from.experts * from.rows, from.cols);
    to.where = fmt::format("{} as {}", from.where, Name(type_));
    const std::shared_ptr<std::byte> block = AllocateBlock(to.bytes, to.where);
    const std::size_t row_bytes = StoredBytes(type_, 1, to.cols);
    // A row at a time: the plain values of a large model would not fit beside it.
    ParallelFor(to.experts * to.rows, std::max<std::int64_t>(1, 16384 / to.cols),
                [&](std::int64_t begin, std::int64_t end) {
                  std::vector<float> values(to.cols);
                  for (std::int64_t row = begin; row < end; ++row) {
                    ReadRow(from, row, values.data());
                    QuantiseRow(type_, values.data(), block.get() + row * row_bytes, to.cols);
                  }
                });
    to.data = block;
    return to;
  }

  std::vector<StoredTensorInfo> Listing() const override {
    const TensorNames names(spec_);
    std::vector<StoredTensorInfo> listing = base_->Listing();
    for (StoredTensorInfo& tensor : listing) {
      if (!tensor.used || tensor.shape.size() < 2 || !Fits(tensor.shape.back())) continue;
      // A used matrix that is no whole tensor of the catalogue is an expert of one.
      if (const std::optional<TensorKey> key = names.Find(tensor.name); key && !IsProduct(key->role)) continue;
      std::int64_t rows = 1;
      for (std::size_t d = 0; d + 1 < tensor.shape.size(); ++d) rows *= tensor.shape[d];
      tensor.type = type_;
      tensor.type_name = Name(type_);
      tensor.bytes = StoredBytes(type_, rows, tensor.shape.back());
    }
    return listing;
  }

 private:
  bool Fits(std::int64_t cols) const { return cols > 0 && cols % Info(type_).block == 0; }

  std::unique_ptr<WeightStore> base_;
  DType type_;
  ModelSpec spec_;
};

}  // namespace

std::unique_ptr<WeightStore> Requantise(std::unique_ptr<WeightStore> base, DType type) {
  return std::make_unique<RequantisedStore>(std::move(base), type);
}

QuantisedName SplitQuantisedName(const std::string& model) {
  for (const Suffix& suffix : kSuffixes) {
    const std::string_view text = suffix.text;
    if (model.size() > text.size() && model.ends_with(text))
      return {model.substr(0, model.size() - text.size()), std::string(text), suffix.type};
  }
  // A folder's name may hold an @; what looks like a type of blocks is meant as one.
  if (const std::size_t at = model.rfind("@q"); at != std::string::npos && at > 0 &&
                                                model.find('/', at) == model.npos && at + 2 < model.size() &&
                                                std::isdigit(model[at + 2]) != 0) {
    std::string known;
    for (const Suffix& suffix : kSuffixes) known += (known.empty() ? "" : " or ") + std::string(suffix.text);
    Throw("{}: suffix {}: expected {}", model, model.substr(at), known);
  }
  return {model, "", std::nullopt};
}

}  // namespace assay

#include "suites/support/target.h"

#include <algorithm>
#include <utility>

#include "engine/model/tensors.h"
#include "engine/text/foreign.h"
#include "suites/support/embedded.h"

namespace assay {

Axes Target::axes() const {
  Axes axes;
  axes.Set("model", label.empty() ? ModelLabel(model) : label);
  axes.Set("dtype", Name(precision));
  axes.Set("device", device.kind_name());
  if (batch_invariant) axes.Set("mode", "batch-invariant");
  if (seed_is_axis) axes.Set("seed", static_cast<std::int64_t>(seed));
  return axes;
}

std::vector<Target> OncePerDevice(const std::vector<Target>& targets) {
  std::vector<Target> once;
  for (Target target : targets) {
    const bool known = std::any_of(once.begin(), once.end(),
                                   [&](const Target& other) { return other.device.name() == target.device.name(); });
    if (known) continue;
    target.model = target.label = kAnyModel;
    target.precision = Precision::kFp32;
    target.seed_is_axis = target.batch_invariant = false;
    once.push_back(std::move(target));
  }
  return once;
}

std::string ModelLabel(const std::string& model) {
  if (ResolveModel(model) != model) return model;  // embedded names need their folder to stay apart
  std::string path = model;
  for (bool again = true; again && path.size() > 1;) {
    again = path.ends_with('/') || path.ends_with("/.");
    if (again) path.pop_back();
  }
  return Printable(path.substr(path.find_last_of('/') + 1));  // npos + 1 is 0
}

int SmallestWindow(const ModelSpec& spec) {
  int window = 0;
  for (const LayerSpec& layer : spec.layers)
    if (layer.window > 0 && (window == 0 || layer.window < window)) window = layer.window;
  return window;
}

int WindowWithin(const ModelSpec& spec, int low, int high) { return std::clamp(SmallestWindow(spec), low, high); }

std::int64_t WeightCount(const ModelSpec& spec) {
  std::int64_t count = 0;
  for (const TensorEntry& entry : Catalogue(spec)) count += entry.elements();
  return count;
}

bool HasExperts(const ModelSpec& spec) {
  return std::any_of(spec.layers.begin(), spec.layers.end(), [](const LayerSpec& layer) { return layer.experts > 0; });
}

}  // namespace assay

// What tells cases and benchmark rows of one name apart: named values in a fixed order, as data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace assay {

using AxisValue = std::variant<std::int64_t, std::string>;

class Axes {
 public:
  using Axis = std::pair<std::string, AxisValue>;

  Axes() = default;
  explicit Axes(std::vector<Axis> axes) : axes_(std::move(axes)) {}

  // Adds an axis behind the others, or changes its value where it stands.
  Axes& Set(std::string name, AxisValue value);
  const AxisValue* Find(std::string_view name) const;  // null when absent
  // The value of an axis of text, or of numbers; empty, or nothing, when it is absent or of the other kind.
  std::string Text(std::string_view name) const;
  std::optional<std::int64_t> Number(std::string_view name) const;
  const std::vector<Axis>& all() const { return axes_; }

  // "gemma4-nano/bf16/cuda/n=8": model, dtype and device by their value alone, others as name=value. For people and as
  // a filter; nothing reads it back.
  std::string ToString() const;
  friend bool operator==(const Axes&, const Axes&) = default;

 private:
  std::vector<Axis> axes_;
};

// "BatchedDecode.MatchesSingleUser/gemma4-nano/bf16/cuda/n=8".
std::string PrintId(std::string_view suite, std::string_view name, const Axes& axes);

}  // namespace assay

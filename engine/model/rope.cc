#include "engine/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/base/check.h"

namespace assay {
namespace {

double Llama3Frequency(double inv, const RopeConfig& config) {
  const double wavelength = 2 * std::numbers::pi / inv;
  if (wavelength < config.original / config.high) return inv;
  if (wavelength > config.original / config.low) return inv / config.factor;
  const double smooth = (config.original / wavelength - config.low) / (config.high - config.low);
  return (1 - smooth) * inv / config.factor + smooth * inv;
}

// The pair (a real number) that turns `turns` times within the original length.
double PairOfTurns(const RopeConfig& config, int head_dim, double turns) {
  return head_dim * std::log(config.original / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.theta));
}

// 1: the pair keeps its frequency, 0: it is divided by the factor.
double YarnShare(const RopeConfig& config, int head_dim, int pair) {
  double low = PairOfTurns(config, head_dim, config.beta_fast), high = PairOfTurns(config, head_dim, config.beta_slow);
  if (config.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, head_dim - 1.0);
  if (low == high) high += 0.001;  // the publishers' guard against a ramp of no length
  return 1 - std::clamp((pair - low) / (high - low), 0.0, 1.0);
}

double YarnGain(const RopeConfig& config) {
  if (config.attention_factor > 0) return config.attention_factor;
  const auto scale = [&](double m) { return config.factor <= 1 ? 1.0 : 0.1 * m * std::log(config.factor) + 1; };
  if (config.mscale != 0 && config.mscale_all_dim != 0) return scale(config.mscale) / scale(config.mscale_all_dim);
  return scale(1);
}

void CheckRope(const RopeConfig& config, int head_dim) {
  const auto finite_above = [](double value, double low) { return std::isfinite(value) && value > low; };
  Require(head_dim >= 2 && head_dim % 2 == 0, "rope: head_dim must be even and positive, found {}", head_dim);
  Require(finite_above(config.theta, 1), "rope: theta must be finite and above 1, found {}", config.theta);
  Require(finite_above(config.factor, 0), "rope: factor must be finite and above 0, found {}", config.factor);
  Require(config.partial > 0 && config.partial <= 1, "rope: partial_rotary_factor must be in (0, 1], found {}",
          config.partial);
  if (config.rule == RopeRule::kLlama3) {
    Require(finite_above(config.low, 0) && finite_above(config.high, config.low),
            "rope: llama3 needs 0 < low_freq_factor < high_freq_factor, found {} and {}", config.low, config.high);
  }
  if (config.rule == RopeRule::kLlama3 || config.rule == RopeRule::kYarn)
    Require(finite_above(config.original, 0), "rope: original_max_position_embeddings must be above 0, found {}",
            config.original);
  if (config.rule == RopeRule::kYarn) {
    Require(finite_above(config.beta_slow, 0) && finite_above(config.beta_fast, config.beta_slow),
            "rope: yarn needs 0 < beta_slow < beta_fast, found {} and {}", config.beta_slow, config.beta_fast);
    Require(std::isfinite(config.attention_factor) && config.attention_factor >= 0,
            "rope: attention_factor must be finite and not negative, found {}", config.attention_factor);
    Require(finite_above(YarnGain(config), 0),
            "rope: mscale {} and mscale_all_dim {} give no positive attention factor", config.mscale,
            config.mscale_all_dim);
  }
  if (config.rule != RopeRule::kDivisors) return;
  Require(config.divisors.size() == static_cast<std::size_t>(head_dim / 2),
          "rope: expected {} frequency divisors, found {}", head_dim / 2, config.divisors.size());
  for (const float divisor : config.divisors)
    Require(finite_above(divisor, 0), "rope: frequency divisors must be finite and above 0, found {}", divisor);
}

}  // namespace

RopeSpec MakeRope(const RopeConfig& config, int head_dim) {
  CheckRope(config, head_dim);
  const int pairs = head_dim / 2;
  // The publishers' formula floors partial * D / 2 in this order.
  const int rotated =
      config.rule == RopeRule::kProportional ? static_cast<int>(std::floor(config.partial * head_dim / 2)) : pairs;
  RopeSpec rope{.theta = config.theta, .inv_freq = std::vector<float>(static_cast<std::size_t>(pairs), 0.0f)};
  if (config.rule == RopeRule::kYarn) rope.gain = static_cast<float>(YarnGain(config));
  for (int d = 0; d < rotated; ++d) {
    const int at = d;
    double inv = std::pow(config.theta, -2.0 * d / head_dim);
    switch (config.rule) {
      case RopeRule::kDefault:
        break;
      case RopeRule::kLinear:
      case RopeRule::kProportional:
        inv /= config.factor;
        break;
      case RopeRule::kLlama3:
        inv = Llama3Frequency(inv, config);
        break;
      case RopeRule::kYarn: {
        const double kept = YarnShare(config, head_dim, d);
        inv = inv / config.factor * (1 - kept) + inv * kept;
        break;
      }
      case RopeRule::kDivisors:
        inv = config.divisors[at] >= 1e20f ? 0.0 : inv / static_cast<double>(config.divisors[at]);
        break;
    }
    rope.inv_freq[at] = static_cast<float>(inv);
  }
  return rope;
}

int AddRope(ModelSpec& spec, const RopeSpec& rope) {
  const auto found = std::find(spec.ropes.begin(), spec.ropes.end(), rope);
  const auto index = static_cast<int>(found - spec.ropes.begin());
  if (found == spec.ropes.end()) spec.ropes.push_back(rope);
  return index;
}

}  // namespace assay

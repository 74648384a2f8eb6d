#include "oracles/verdict/tally.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace assay {

int PoissonQuantile(double mean, double p) {
  // In logarithms, because e^-mean underflows for long runs.
  double cumulative = 0;
  for (int n = 0;; ++n) {
    cumulative += std::exp(n * std::log(std::max(mean, 1e-300)) - mean - std::lgamma(n + 1.0));
    if (cumulative >= p || n > mean + 40 * std::sqrt(mean) + 100) return n;
  }
}

void Tally::Add(const Judgement& judgement) {
  auto metric = std::find_if(metrics_.begin(), metrics_.end(),
                             [&](const Metric& m) { return m.worst.metric == judgement.metric; });
  if (metric == metrics_.end()) {
    metric = metrics_.insert(metrics_.end(), {judgement, 0, 0});
    metric->worst.comparisons = 0;
    metric->worst.first_outside.reset();
  }
  Judgement& worst = metric->worst;
  const std::int64_t comparisons = worst.comparisons + judgement.comparisons;
  std::optional<Place> first = worst.first_outside;
  if (!first) first = judgement.first_outside;
  if (!first && judgement.verdict != Verdict::kMatch) first = judgement.worst;
  if (IsWorse(judgement, worst)) worst = judgement;
  worst.comparisons = comparisons;
  worst.first_outside = std::move(first);
  metric->soft += IsSoft(judgement.verdict) ? 1 : 0;
  metric->expected += judgement.soft_probability;
}

void Tally::Add(const std::vector<Judgement>& judgements) {
  for (const Judgement& judgement : judgements) Add(judgement);
}

void Tally::AtLeast(const std::string& metric, std::int64_t comparisons) {
  for (auto& [name, stated] : stated_)
    if (name == metric) return static_cast<void>(stated += comparisons);
  stated_.emplace_back(metric, comparisons);
}

std::vector<Judgement> Tally::Finish() const {
  std::vector<Judgement> all;
  for (const Metric& metric : metrics_) all.push_back(metric.worst);
  for (const Metric& metric : metrics_) {
    if (metric.soft == 0) continue;
    const int allowed = PoissonQuantile(metric.expected, kBudgetConfidence);
    all.push_back(Judged(metric.worst.metric + "_budget", metric.soft,
                         Bound::Fixed(allowed, "Poisson quantile 1 - 1e-6 of the expected number"), {},
                         fmt::format("{} in {} comparisons, {:.3g} expected, at most {} allowed", metric.soft,
                                     metric.worst.comparisons, metric.expected, allowed)));
  }
  for (const auto& statement : stated_) {
    const std::string& name = statement.first;
    const std::int64_t stated = statement.second;
    const auto metric =
        std::find_if(metrics_.begin(), metrics_.end(), [&](const Metric& m) { return m.worst.metric == name; });
    const std::int64_t made = metric == metrics_.end() ? 0 : metric->worst.comparisons;
    Judgement judgement =
        Judged(name + "_comparisons", static_cast<double>(std::max<std::int64_t>(0, stated - made)), Bound::Exact(), {},
               fmt::format("{} comparisons were made, {} are stated", made, stated));
    judgement.comparisons = stated;
    all.push_back(std::move(judgement));
  }
  return all;
}

}  // namespace assay

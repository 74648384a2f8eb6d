// Records which experts every position of every session was sent to. In layers that run for wanted rows alone, those of
// the others are not recorded; nor is anything while a device records a step.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "oracles/probes/forwarding_ops.h"

namespace assay {

class RoutingOps : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

  // Experts of each layer that has some, as the router ordered them. `place` is the session's in the caches.
  using Choices = std::map<int, std::vector<std::int32_t>>;
  const Choices& ChoicesOf(int place, int position) const {
    const auto found = choices_.find({place, position});
    Require(found != choices_.end(), "routing of session {} position {} was not recorded", place, position);
    return found->second;
  }
  // The same, forgotten thereby; empty when nothing was recorded.
  Choices Take(int place, int position) {
    const auto node = choices_.extract({place, position});
    return node.empty() ? Choices() : std::move(node.mapped());
  }

  void Embed(const EmbedArgs& args) override {
    ForwardingOps::Embed(args);
    if (!recording_) return;
    places_ = Read(args.rows->session, args.rows->count);
    positions_ = Read(args.rows->position, args.rows->count);
  }
  // From here on the step's rows are those.
  void GatherRows(void* out, const void* in, const std::int32_t* index, int count, std::int64_t row_bytes) override {
    ForwardingOps::GatherRows(out, in, index, count, row_bytes);
    if (!recording_ || count == 0 || std::ssize(places_) == count) return;
    std::vector<std::int32_t> places, positions;
    for (const std::int32_t row : Read(index, count)) {
      places.push_back(places_.at(static_cast<std::size_t>(row)));
      positions.push_back(positions_.at(static_cast<std::size_t>(row)));
    }
    places_ = std::move(places);
    positions_ = std::move(positions);
  }
  void Route(const RouteArgs& args) override {
    ForwardingOps::Route(args);
    if (!recording_) return;
    Require(args.rows == static_cast<int>(places_.size()), "routing of {} rows in a step of {}", args.rows,
            places_.size());
    const std::vector<std::int32_t> experts = Read(args.expert, args.rows * args.top_k);
    for (std::size_t row = 0; row < places_.size(); ++row) {
      const auto first = experts.begin() + static_cast<std::ptrdiff_t>(row) * args.top_k;
      choices_[{places_[row], positions_[row]}][site().layer].assign(first, first + args.top_k);
    }
  }
  std::unique_ptr<StepGraph> Capture(const std::function<void()>& body) override {
    if (on_host()) return ForwardingOps::Capture(body);
    recording_ = false;
    std::unique_ptr<StepGraph> graph;
    try {
      graph = ForwardingOps::Capture(body);
    } catch (...) {
      recording_ = true;
      throw;
    }
    recording_ = true;
    return graph;
  }

 private:
  std::vector<std::int32_t> Read(const std::int32_t* values, int count) {
    std::vector<std::int32_t> read(static_cast<std::size_t>(count));
    inner_.memory().CopyOut(read.data(), values, read.size() * sizeof(std::int32_t));
    return read;
  }

  bool recording_ = true;
  std::vector<std::int32_t> places_, positions_;  // of the step's rows
  std::map<std::pair<int, int>, Choices> choices_;
};

}  // namespace assay

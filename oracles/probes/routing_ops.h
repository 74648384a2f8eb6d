// Records which experts every position of every session was sent to. For engines that run all layers for all rows
// (skip_tail off).
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "engine/base/check.h"
#include "oracles/probes/forwarding_ops.h"

namespace assay {

class RoutingOps final : public ForwardingOps {
 public:
  using ForwardingOps::ForwardingOps;

  // Experts of each layer that has some, as the router ordered them. `place` is the session's in the caches.
  using Choices = std::map<int, std::vector<std::int32_t>>;
  const Choices& ChoicesOf(int place, int position) const {
    const auto found = choices_.find({place, position});
    Require(found != choices_.end(), "routing of session {} position {} was not recorded", place, position);
    return found->second;
  }

  void Embed(const EmbedArgs& args) override {
    inner_.Embed(args);
    places_ = Read(args.rows->session, args.rows->count);
    positions_ = Read(args.rows->position, args.rows->count);
  }
  void Route(const RouteArgs& args) override {
    inner_.Route(args);
    Require(args.rows == static_cast<int>(places_.size()), "routing of {} rows in a step of {}", args.rows,
            places_.size());
    const std::vector<std::int32_t> experts = Read(args.expert, args.rows * args.top_k);
    for (std::size_t row = 0; row < places_.size(); ++row) {
      const auto first = experts.begin() + static_cast<std::ptrdiff_t>(row) * args.top_k;
      choices_[{places_[row], positions_[row]}][site().layer].assign(first, first + args.top_k);
    }
  }

 private:
  std::vector<std::int32_t> Read(const std::int32_t* values, int count) {
    std::vector<std::int32_t> read(static_cast<std::size_t>(count));
    inner_.memory().CopyOut(read.data(), values, read.size() * sizeof(std::int32_t));
    return read;
  }

  std::vector<std::int32_t> places_, positions_;  // of the step's rows
  std::map<std::pair<int, int>, Choices> choices_;
};

}  // namespace assay

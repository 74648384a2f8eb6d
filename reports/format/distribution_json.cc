#include "reports/format/json.h"

namespace assay {
namespace {

Json AttemptJson(const ShardAttempt& attempt) {
  Json json = {
      {"attempt", attempt.attempt}, {"state", attempt.state}, {"file", attempt.file}, {"sha256", attempt.file_sha256}};
  PutText(&json, "host", attempt.host);
  PutText(&json, "gpu", attempt.gpu);
  PutUnless(std::int64_t{0}, &json, "workers", attempt.workers);
  PutUnless(std::int64_t{0}, &json, "leftovers", attempt.leftovers);
  return json;
}

ShardAttempt AttemptFrom(const Json& json) {
  return {json.at("attempt"),
          json.at("state"),
          json.value("host", ""),
          json.value("gpu", ""),
          json.at("file"),
          json.at("sha256"),
          json.value("workers", std::int64_t{0}),
          json.value("leftovers", std::int64_t{0})};
}

}  // namespace

Json DistributionJson(const Distribution& distribution) {
  Json groups = Json::array(), retried = Json::array();
  for (const ShardGroup& group : distribution.groups) {
    Json attempts = Json::array();
    for (const ShardAttempt& attempt : group.attempts) attempts.push_back(AttemptJson(attempt));
    groups.push_back({{"model", group.model}, {"cases", group.cases}, {"attempts", std::move(attempts)}});
  }
  for (const RetriedCase& item : distribution.retried) retried.push_back({{"id", item.id}, {"deaths", item.deaths}});
  return {{"plan_hash", distribution.plan_hash},
          {"nonce", distribution.nonce},
          {"groups", std::move(groups)},
          {"retried", std::move(retried)}};
}

Distribution DistributionFrom(const Json& json) {
  Distribution distribution{json.at("plan_hash"), json.at("nonce"), {}, {}};
  for (const Json& group : json.at("groups")) {
    distribution.groups.push_back({group.at("model"), group.at("cases"), {}});
    for (const Json& attempt : group.at("attempts"))
      distribution.groups.back().attempts.push_back(AttemptFrom(attempt));
  }
  for (const Json& item : json.at("retried"))
    distribution.retried.push_back({item.at("id"), item.at("deaths").get<std::vector<std::string>>()});
  return distribution;
}

}  // namespace assay

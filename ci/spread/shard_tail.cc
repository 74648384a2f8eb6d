#include "ci/spread/shard_tail.h"

#include <filesystem>
#include <fstream>
#include <iterator>

namespace assay {

void ShardTail::Poll(const LeaseBook& book, const std::function<void(const ShardNews&)>& tell) {
  for (const auto& [group, lease] : NewestLeases(book)) {
    const std::string name = ShardFileName(group, lease.attempt, lease.token);
    const std::string path = folder_.shards() + "/" + name;
    // Renamed when it is whole: what was read of it under its first name is the same.
    std::error_code error;
    for (const std::string& at : {path + ".part", path})
      if (std::filesystem::exists(at, error)) Read(at, &files_[name], group, tell);
  }
}

void ShardTail::Read(const std::string& path, File* file, std::int64_t group,
                     const std::function<void(const ShardNews&)>& tell) {
  std::ifstream in(path, std::ios::binary);
  if (!in.seekg(static_cast<std::streamoff>(file->read))) return;
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  for (std::size_t at = 0, newline; (newline = text.find('\n', at)) != std::string::npos; at = newline + 1) {
    file->read += newline + 1 - at;
    // Whether a file holds is for the merge to say.
    const Json json = JsonOrNothing(std::string_view(text).substr(at, newline - at));
    if (!json.is_object()) return;
    ShardNews news{group, file->host, std::nullopt, json.value("kind", "") == "end"};
    if (json.value("kind", "") == "begin") {
      const Json scheduler = json.value("scheduler", Json::object());
      file->host = scheduler.value("node", json.value("/environment/host/name"_json_pointer, ""));
      news.host = file->host;
    } else if (json.value("kind", "") == "case") {
      news.result = CaseRecordFrom(json);
      if (!told_.insert(news.result->id()).second) continue;
    }
    tell(news);
  }
}

}  // namespace assay

#include "reports/format/json.h"

namespace assay {
namespace {

// A field of text, a count or an amount, by its name in the file; what is empty or 0 is left out.
template <class Object>
struct Field {
  const char* key;
  std::string Object::*text = nullptr;
  std::int64_t Object::*count = nullptr;
  double Object::*amount = nullptr;
};
template <class Object>
constexpr Field<Object> Text(const char* key, std::string Object::*member) {
  return {.key = key, .text = member};
}
template <class Object>
constexpr Field<Object> Count(const char* key, std::int64_t Object::*member) {
  return {.key = key, .count = member};
}
constexpr Field<GpuInfo> Amount(const char* key, double GpuInfo::*member) { return {.key = key, .amount = member}; }

constexpr Field<BuildInfo> kBuild[] = {Text("version", &BuildInfo::version),
                                       Text("commit", &BuildInfo::commit),
                                       Text("build_id", &BuildInfo::build_id),
                                       Text("compiler", &BuildInfo::compiler),
                                       Text("build_type", &BuildInfo::build_type),
                                       Text("flags", &BuildInfo::flags),
                                       Text("sanitizers", &BuildInfo::sanitizers),
                                       Text("cuda", &BuildInfo::cuda),
                                       Text("cuda_architectures", &BuildInfo::cuda_architectures)};
constexpr Field<HostInfo> kHost[] = {Text("name", &HostInfo::name),    Text("cpu", &HostInfo::cpu),
                                     Text("os", &HostInfo::os),        Text("kernel", &HostInfo::kernel),
                                     Count("cores", &HostInfo::cores), Count("memory_bytes", &HostInfo::memory_bytes)};
constexpr Field<GpuInfo> kGpu[] = {Text("name", &GpuInfo::name),
                                   Text("uuid", &GpuInfo::uuid),
                                   Text("bus_id", &GpuInfo::bus_id),
                                   Text("vbios", &GpuInfo::vbios),
                                   Count("memory_bytes", &GpuInfo::memory_bytes),
                                   Count("sm_count", &GpuInfo::sm_count),
                                   Text("compute_capability", &GpuInfo::compute_capability),
                                   Text("mig_mode", &GpuInfo::mig_mode),
                                   Text("ecc_mode", &GpuInfo::ecc_mode),
                                   Text("compute_mode", &GpuInfo::compute_mode),
                                   Amount("power_limit_w", &GpuInfo::power_limit_w),
                                   Amount("power_limit_default_w", &GpuInfo::power_limit_default_w),
                                   Amount("max_sm_clock_mhz", &GpuInfo::max_sm_clock_mhz),
                                   Amount("max_memory_clock_mhz", &GpuInfo::max_memory_clock_mhz),
                                   Count("pcie_generation", &GpuInfo::pcie_generation),
                                   Count("pcie_width", &GpuInfo::pcie_width),
                                   Count("other_processes", &GpuInfo::other_processes),
                                   Text("unread", &GpuInfo::unread)};
constexpr Field<CudaRuntime> kCuda[] = {Text("driver", &CudaRuntime::driver),
                                        Text("driver_cuda", &CudaRuntime::driver_cuda),
                                        Text("runtime", &CudaRuntime::runtime), Text("cublas", &CudaRuntime::cublas)};
constexpr Field<SystemInfo> kSystem[] = {Text("name", &SystemInfo::name),
                                         Text("version", &SystemInfo::version),
                                         Text("commit", &SystemInfo::commit),
                                         Text("operands", &SystemInfo::operands),
                                         Text("activations", &SystemInfo::activations),
                                         Text("build", &SystemInfo::build),
                                         Text("device", &SystemInfo::device),
                                         Text("arithmetic", &SystemInfo::arithmetic),
                                         Count("protocol", &SystemInfo::protocol)};

template <class Object, std::size_t count>
Json Write(const Field<Object> (&fields)[count], const Object& object) {
  Json json = Json::object();
  for (const Field<Object>& field : fields) {
    if (field.text != nullptr) PutText(&json, field.key, object.*field.text);
    if (field.count != nullptr) PutUnless(std::int64_t{0}, &json, field.key, object.*field.count);
    if (field.amount != nullptr) PutUnless(0.0, &json, field.key, object.*field.amount);
  }
  return json;
}

template <class Object, std::size_t count>
void Read(const Field<Object> (&fields)[count], const Json& json, Object* object) {
  for (const Field<Object>& field : fields) {
    if (field.text != nullptr) object->*field.text = json.value(field.key, "");
    if (field.count != nullptr) object->*field.count = json.value(field.key, std::int64_t{0});
    if (field.amount != nullptr) object->*field.amount = json.value(field.key, 0.0);
  }
}

void PutEcc(Json* json, const char* key, const std::optional<EccCounts>& counts) {
  if (counts) (*json)[key] = {{"corrected", counts->corrected}, {"uncorrected", counts->uncorrected}};
}

std::optional<EccCounts> EccFrom(const Json& json, const char* key) {
  if (!json.contains(key)) return std::nullopt;
  return EccCounts{json[key].at("corrected"), json[key].at("uncorrected")};
}

Json GpuJson(const GpuInfo& gpu) {
  Json json = {{"index", gpu.index}};
  json.update(Write(kGpu, gpu));
  PutUnless(false, &json, "persistence", gpu.persistence);
  PutEcc(&json, "ecc_before", gpu.ecc_before);
  PutEcc(&json, "ecc_after", gpu.ecc_after);
  return json;
}

GpuInfo GpuFrom(const Json& json) {
  GpuInfo gpu;
  gpu.index = json.at("index");
  Read(kGpu, json, &gpu);
  gpu.persistence = json.value("persistence", false);
  gpu.ecc_before = EccFrom(json, "ecc_before");
  gpu.ecc_after = EccFrom(json, "ecc_after");
  return gpu;
}

}  // namespace

Json BuildJson(const BuildInfo& build) {
  Json json = Write(kBuild, build);
  json["dirty"] = build.dirty;
  return json;
}

BuildInfo BuildFrom(const Json& json) {
  BuildInfo build;
  Read(kBuild, json, &build);
  build.dirty = json.at("dirty");
  return build;
}

Json EnvironmentJson(const Environment& environment) {
  Json json;
  Json fields = Json::object();
  for (const auto& [name, value] : ComparabilityFields(environment)) fields[name] = value;
  json["comparability"] = {{"key", ComparabilityKey(environment)}, {"fields", std::move(fields)}};
  json["build"] = BuildJson(environment.build);
  json["host"] = Write(kHost, environment.host);
  json["device"] = Json::object();
  PutText(&json["device"], "asked", environment.device_asked);
  PutText(&json["device"], "unavailable", environment.device_unavailable);
  if (environment.cuda) json["cuda"] = Write(kCuda, *environment.cuda);
  json["gpus"] = Json::array();
  for (const GpuInfo& gpu : environment.gpus) json["gpus"].push_back(GpuJson(gpu));
  json["variables"] = Json(environment.variables);
  json["system"] = Write(kSystem, environment.system);
  PutUnless(false, &json["system"], "claims_batch_invariance", environment.system.claims_batch_invariance);
  PutUnless(false, &json["system"], "claims_repeatable", environment.system.claims_repeatable);
  return json;
}

Environment EnvironmentFrom(const Json& json) {
  Environment environment;
  environment.build = BuildFrom(json.at("build"));
  Read(kHost, json.at("host"), &environment.host);
  environment.device_asked = json.at("device").value("asked", "");
  environment.device_unavailable = json.at("device").value("unavailable", "");
  if (json.contains("cuda")) Read(kCuda, json["cuda"], &environment.cuda.emplace());
  for (const Json& gpu : json.at("gpus")) environment.gpus.push_back(GpuFrom(gpu));
  environment.variables = json.at("variables").get<std::map<std::string, std::string>>();
  const Json& system = json.at("system");
  Read(kSystem, system, &environment.system);
  environment.system.claims_batch_invariance = system.value("claims_batch_invariance", false);
  environment.system.claims_repeatable = system.value("claims_repeatable", false);
  return environment;
}

}  // namespace assay

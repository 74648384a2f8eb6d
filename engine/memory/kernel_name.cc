#include "engine/memory/kernel_name.h"

#include <cxxabi.h>

#include <cstdlib>
#include <memory>

namespace assay {
namespace {

// Where the parameter list at the end of `name` begins; npos when it does not end in one.
std::size_t Parameters(const std::string& name) {
  if (name.empty() || name.back() != ')') return std::string::npos;
  int depth = 0;
  for (std::size_t at = name.size(); at-- > 0;) {
    if (name[at] == ')') ++depth;
    if (name[at] == '(' && --depth == 0) return at;
  }
  return std::string::npos;
}

void Remove(std::string& from, const std::string& what) {
  for (std::size_t at = from.find(what); at != std::string::npos; at = from.find(what, at)) from.erase(at, what.size());
}

}  // namespace

std::string ReadableKernelName(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status),
                                                         &std::free);
  if (status != 0 || text == nullptr) return symbol;
  std::string name = text.get();
  if (const std::size_t at = Parameters(name); at != std::string::npos && at > 0) name.resize(at);
  if (name.starts_with("void ")) name.erase(0, 5);
  Remove(name, "assay::");
  Remove(name, "(anonymous namespace)::");
  return name;
}

}  // namespace assay

// One mutable object of each kind that the check of statics must find, beside constants that it must leave alone.
#include <string>
#include <vector>

namespace assay::planted {

int global = 1;
static std::string file_local;
thread_local int of_thread = 2;
const char* pointer = "the pointer can be changed though the text cannot";

constexpr int kNumbers[] = {1, 2, 3};
const char* const kNames[] = {"a", "b"};

class Cache {
 public:
  static std::vector<int> kept;
};
std::vector<int> Cache::kept;

int Use(int i) {
  static int calls = 0;
  file_local += kNames[i & 1];
  return ++calls + global + of_thread + kNumbers[i % 3] + static_cast<int>(Cache::kept.size()) + pointer[0];
}

}  // namespace assay::planted

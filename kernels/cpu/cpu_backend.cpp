// Opens the CPU backend: threads, and one version of every op for this machine.
#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <system_error>

#include "kernels/cpu/targets.h"
// After targets.h.
#include "hwy/highway.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/host_memory.h"

namespace hone {
namespace {

constexpr int kMostThreads = 1024;

// "avx3": Highway's names in small letters.
std::string level_name(int64_t target) {
  std::string name = hwy::TargetName(target);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

// Compiled targets that this machine can run, the best first.
std::vector<int64_t> levels() { return hwy::SupportedAndGeneratedTargets(); }

// The level that HONE_CPU asks for, or the best; 0 and a reason if there is no such level here.
int64_t choose_level(std::string* why) {
  const char* const wanted = std::getenv("HONE_CPU");
  if (!wanted || !*wanted) return levels().front();
  std::string known;
  for (const int64_t level : levels()) {
    if (level_name(level) == wanted) return level;
    known += (known.empty() ? "" : ", ") + level_name(level);
  }
  *why = "HONE_CPU: no instructions '" + std::string(wanted) + "' here; known: " + known;
  return 0;
}

// Highway chooses for the whole process; taking pointers under a lock makes it one backend's
// choice.
OpTable choose_ops(int64_t level, BackendContext* context) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  hwy::GetChosenTarget().Update(level);
  OpTable table;
#define X(name, Args) table.name = {cpu::choose_##name(), context};
  FOR_EACH_OP(X)
#undef X
  return table;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(int64_t level, int threads) : context_{.pool = ThreadPool(threads), .rounded = {}} {
    detail_ = level_name(level) + ", " + std::to_string(threads) +
              (threads == 1 ? " thread" : " threads");
    run = choose_ops(level, reinterpret_cast<BackendContext*>(&context_));
  }

  std::string_view name() const override { return "cpu"; }
  std::string_view detail() const override { return detail_; }
  bool shares_host_memory() const override { return true; }
  void* allocate(size_t bytes) override { return allocate_host(bytes); }
  void release(void* memory) override { release_host(memory); }
  void copy_in(void* to, const void* from_host, size_t bytes) override {
    copy(to, from_host, bytes);
  }
  void copy_out(void* to_host, const void* from, size_t bytes) override {
    copy(to_host, from, bytes);
  }

 private:
  static void copy(void* to, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }

  cpu::Context context_;
  std::string detail_;
};

}  // namespace

std::unique_ptr<Backend> open_cpu_backend(int threads, std::string* why) {
  const int64_t level = choose_level(why);
  if (level == 0) return nullptr;
  if (threads <= 0) threads = default_threads();
  if (threads > kMostThreads) {
    *why = "cpu: " + std::to_string(threads) + " threads; at most " + std::to_string(kMostThreads);
    return nullptr;
  }
  try {
    return std::make_unique<CpuBackend>(level, threads);
  } catch (const std::system_error& error) {
    *why = "cpu: cannot start " + std::to_string(threads) + " threads: " + error.what();
    return nullptr;
  }
}

}  // namespace hone

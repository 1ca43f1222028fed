#include "libcommon/ranks/launch.h"

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "libcommon/base/file.h"
#include "libcommon/base/log.h"
#include "libcommon/ranks/mpi.h"

namespace hone {
namespace {

struct Launcher {
  const char* rank;
  const char* size;
};

constexpr Launcher kLaunchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},  // Open MPI's mpirun
    {"PMI_RANK", "PMI_SIZE"},                          // MPICH's and Intel's
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},          // srun
};

std::unique_ptr<Communicator> open_ranks(const RanksWanted& wanted) {
  const std::string asked = wanted.option + " " + std::to_string(wanted.count);
  const int started = launched_as().count;
  if (started != wanted.count) {
    throw usage_error(asked + " needs " + std::to_string(wanted.count) + " ranks, not " +
                      std::to_string(started) + ": start them with mpirun -n " +
                      std::to_string(wanted.count) + " PROGRAM " + asked + " ...");
  }
  std::string why;
  std::unique_ptr<Communicator> ranks = open_mpi(&why);
  if (!ranks) throw usage_error(asked + ": " + why);
  if (ranks->size() != started) {
    throw usage_error(asked + ": the launcher started " + std::to_string(started) +
                      " processes, MPI knows " + std::to_string(ranks->size()) +
                      "; is the launcher of another MPI than hone was built with?");
  }
  return ranks;
}

// Different options would have the ranks wait for each other in different places.
void check_equal(Communicator& ranks, const std::string& command) {
  for (const std::string& other : all_gather_text(ranks, command)) {
    if (other == command) continue;
    throw usage_error("the ranks were started with different options: " + command + " and " +
                      other);
  }
}

ExitCode code_of(const std::exception_ptr& fault) {
  try {
    std::rethrow_exception(fault);
  } catch (const Error& error) {
    return error.code();
  } catch (...) {
    return ExitCode::kResource;
  }
}

}  // namespace

Shard launched_as() {
  for (const Launcher& launcher : kLaunchers) {
    const char* const rank = std::getenv(launcher.rank);
    const char* const size = std::getenv(launcher.size);
    if (rank && size) return {std::atoi(rank), std::max(std::atoi(size), 1)};
  }
  return {};
}

void mute_others() { set_muted(launched_as().rank > 0); }

ExitCode run_on_ranks(const RanksWanted& wanted,
                      const std::function<ExitCode(Communicator* ranks)>& body) {
  if (wanted.count <= 1) return body(nullptr);
  mute_others();
  const std::unique_ptr<Communicator> ranks = open_ranks(wanted);
  std::exception_ptr fault;
  ExitCode code = ExitCode::kOk;
  try {
    check_equal(*ranks, wanted.command);
    code = body(ranks.get());
  } catch (const RankFailed&) {  // its own outcome says why
  } catch (...) {
    fault = std::current_exception();
    code = code_of(fault);
  }
  const std::vector<int> outcomes = ranks->finish(static_cast<int>(code));
  const auto first =
      std::find_if(outcomes.begin(), outcomes.end(), [](int outcome) { return outcome != 0; });
  // A launcher kills what still runs when a process returns a code that is not 0: only the one that
  // has something to say may.
  if (first == outcomes.end() || first - outcomes.begin() != ranks->rank()) return ExitCode::kOk;
  set_muted(false);
  if (fault) std::rethrow_exception(fault);
  return code;
}

std::string read_for_all(const std::string& path, Communicator* ranks) {
  if (ranks == nullptr) return read_file(path);
  return broadcast_text(*ranks, ranks->rank() == 0 ? read_file(path) : std::string());
}

std::string device_of_rank(const std::string& device, const Communicator* ranks) {
  if (ranks == nullptr) return device;
  if (device == "auto") {
    log_verbose("--device auto: ranks compute on the CPU; --device cuda gives each a GPU");
    return "cpu";
  }
  return device == "cuda" ? "cuda:" + std::to_string(ranks->local_rank()) : device;
}

}  // namespace hone

// How a program becomes one of several ranks: a launcher (mpirun, srun) starts it several times and
// tells each process its number in the environment.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "libcommon/base/error.h"
#include "libcommon/ranks/communicator.h"

namespace hone {

// What the launcher said; {0, 1} where there was none.
Shard launched_as();

// Lets only the first of the launcher's processes speak: for faults that all of them have.
void mute_others();

struct RanksWanted {
  int64_t count = 1;
  std::string option;   // "--tensor-parallel": for messages
  std::string command;  // what must be equal on all ranks, as history_line() gives it
};

// Runs `body` on every rank; with one rank wanted, at once and with null. Ranks other than the
// first write no messages. An Error, on whatever ranks it is thrown, ends all: the lowest of them
// rethrows it, the others return kOk, and the launcher returns the one code that is another. Throws
// Error(kUsage) unless the launcher started as many processes as wanted.
ExitCode run_on_ranks(const RanksWanted& wanted,
                      const std::function<ExitCode(Communicator* ranks)>& body);

// A file's bytes, or standard input's for "-", read by the first rank for all: the launcher gives
// standard input to no other. ranks null: read_file().
std::string read_for_all(const std::string& path, Communicator* ranks);

// The device that a rank computes on: "auto" is the CPU, "cuda" the GPU whose number is the rank's
// among those of its machine. ranks null: as given.
std::string device_of_rank(const std::string& device, const Communicator* ranks);

}  // namespace hone

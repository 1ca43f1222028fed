// Ranks: processes that run one program together and talk by messages. Every rank calls the same
// functions of this header in the same order.
//
// A transport offers one thing, an exchange in which each rank sends something to each other;
// everything else is made of it here. Sums are added in the order of the ranks, so that they are
// the same bytes on every rank and in every run, whatever the transport.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "libcommon/ranks/shard.h"

namespace hone {

// What goes to one other rank and what comes from it. No bytes: no message.
struct Message {
  const void* send = nullptr;
  size_t send_bytes = 0;
  void* receive = nullptr;
  size_t receive_bytes = 0;
};

// Another rank has ended with a fault; it will say so itself.
class RankFailed : public std::runtime_error {
 public:
  RankFailed() : std::runtime_error("another rank failed") {}
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;  // among the ranks of the same machine

  // messages[r] is the traffic with rank r; the own entry is passed over. Throws RankFailed.
  virtual void exchange(std::span<const Message> messages) = 0;

  // The last call of every rank, whatever became of it: each rank's outcome, 0 where all is well.
  // Who waits in an exchange for a rank whose outcome is another gets RankFailed.
  virtual std::vector<int> finish(int outcome) = 0;

  Shard shard() const { return {rank(), size()}; }
};

// out[i] = x[i] of rank 0 + x[i] of rank 1 + ...; out may be x. scratch keeps its memory from call
// to call.
void all_reduce_sum(Communicator& ranks, const float* x, float* out, int64_t count,
                    std::vector<float>& scratch);

// Rank r has columns part_of(columns, 1, r) of each row, x [rows, its columns]; out [rows, columns]
// is the whole. out must not be x.
struct GatherColumns {
  const float* x;
  float* out;
  int64_t rows;
  int64_t columns;
};
void all_gather_columns(Communicator& ranks, const GatherColumns& gather,
                        std::vector<float>& scratch);

// Every rank's text, by rank.
std::vector<std::string> all_gather_text(Communicator& ranks, std::string_view mine);
// Rank 0's text.
std::string broadcast_text(Communicator& ranks, std::string_view mine);

// Every rank's number, by rank. ranks null: this one's alone.
std::vector<double> all_gather_number(Communicator* ranks, double mine);
double sum_of_ranks(Communicator* ranks, double mine);
// Whether it is so on any rank.
bool on_any_rank(Communicator* ranks, bool here);

}  // namespace hone

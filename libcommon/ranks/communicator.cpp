#include "libcommon/ranks/communicator.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace hone {
namespace {

// From so many floats on each rank adds a slice of the sum and sends it round: less traffic and
// less adding than all of it everywhere. Below, one exchange is quicker than two.
constexpr int64_t kSlicedFrom = 1 << 14;
constexpr int64_t kSliceUnit = 16;  // floats: a cache line

size_t bytes_of(int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); }

Range slice_of(const Communicator& ranks, int64_t count, int rank) {
  return part_of(count, kSliceUnit, {rank, ranks.size()});
}

// out = part 0 + part 1 + ..., `count` floats each, one after the other.
void add_parts(std::span<const float> parts, int64_t count, float* out) {
  const auto n = static_cast<size_t>(count);
  std::copy_n(parts.data(), n, out);
  for (size_t begin = n; begin < parts.size(); begin += n) {
    const float* const part = parts.data() + begin;
    for (size_t i = 0; i < n; ++i) out[i] += part[i];
  }
}

// Room for a part of `count` floats of each rank; own is the one that is here already.
std::span<float> gather_parts(Communicator& ranks, const float* own, int64_t count,
                              std::vector<Message>& messages, std::vector<float>& scratch) {
  const auto n = static_cast<size_t>(count);
  scratch.resize(std::max(scratch.size(), n * messages.size()));
  for (size_t r = 0; r < messages.size(); ++r) {
    messages[r].receive = scratch.data() + r * n;
    messages[r].receive_bytes = bytes_of(count);
  }
  std::copy_n(own, n, scratch.data() + static_cast<size_t>(ranks.rank()) * n);
  ranks.exchange(messages);
  return {scratch.data(), n * messages.size()};
}

void sum_whole(Communicator& ranks, const float* x, float* out, int64_t count,
               std::vector<float>& scratch) {
  std::vector<Message> messages(static_cast<size_t>(ranks.size()),
                                {.send = x, .send_bytes = bytes_of(count)});
  add_parts(gather_parts(ranks, x, count, messages, scratch), count, out);
}

void sum_slices(Communicator& ranks, const float* x, float* out, int64_t count,
                std::vector<float>& scratch) {
  std::vector<Message> messages(static_cast<size_t>(ranks.size()));
  for (int r = 0; r < ranks.size(); ++r) {
    const Range slice = slice_of(ranks, count, r);
    messages[static_cast<size_t>(r)] = {.send = x + slice.begin,
                                        .send_bytes = bytes_of(slice.count)};
  }
  const Range own = slice_of(ranks, count, ranks.rank());
  add_parts(gather_parts(ranks, x + own.begin, own.count, messages, scratch), own.count,
            out + own.begin);
  for (int r = 0; r < ranks.size(); ++r) {
    const Range slice = slice_of(ranks, count, r);
    messages[static_cast<size_t>(r)] = {.send = out + own.begin,
                                        .send_bytes = bytes_of(own.count),
                                        .receive = out + slice.begin,
                                        .receive_bytes = bytes_of(slice.count)};
  }
  ranks.exchange(messages);
}

}  // namespace

void all_reduce_sum(Communicator& ranks, const float* x, float* out, int64_t count,
                    std::vector<float>& scratch) {
  const auto sum = count < kSlicedFrom ? sum_whole : sum_slices;
  sum(ranks, x, out, count, scratch);
}

void all_gather_columns(Communicator& ranks, const GatherColumns& gather,
                        std::vector<float>& scratch) {
  const auto part = [&](int rank) { return part_of(gather.columns, 1, {rank, ranks.size()}); };
  scratch.resize(std::max(scratch.size(), static_cast<size_t>(gather.rows * gather.columns)));
  const size_t own_bytes = bytes_of(gather.rows * part(ranks.rank()).count);
  std::vector<Message> messages;
  for (int r = 0; r < ranks.size(); ++r) {
    messages.push_back({.send = gather.x,
                        .send_bytes = own_bytes,
                        .receive = scratch.data() + gather.rows * part(r).begin,
                        .receive_bytes = bytes_of(gather.rows * part(r).count)});
  }
  ranks.exchange(messages);
  for (int r = 0; r < ranks.size(); ++r) {
    const Range columns = part(r);
    const float* const from =
        r == ranks.rank() ? gather.x : scratch.data() + gather.rows * columns.begin;
    for (int64_t row = 0; row < gather.rows; ++row) {
      std::copy_n(from + row * columns.count, columns.count,
                  gather.out + row * gather.columns + columns.begin);
    }
  }
}

std::vector<std::string> all_gather_text(Communicator& ranks, std::string_view mine) {
  const auto size = static_cast<size_t>(ranks.size());
  std::vector<Message> messages(size);
  const uint64_t own_bytes = mine.size();
  std::vector<uint64_t> bytes(size, 0);
  for (size_t r = 0; r < size; ++r) {
    messages[r] = {&own_bytes, sizeof own_bytes, &bytes[r], sizeof bytes[r]};
  }
  ranks.exchange(messages);
  std::vector<std::string> texts(size);
  for (size_t r = 0; r < size; ++r) {
    texts[r].resize(bytes[r]);
    messages[r] = {mine.data(), mine.size(), texts[r].data(), texts[r].size()};
  }
  ranks.exchange(messages);
  texts[static_cast<size_t>(ranks.rank())] = mine;
  return texts;
}

std::string broadcast_text(Communicator& ranks, std::string_view mine) {
  return all_gather_text(ranks, ranks.rank() == 0 ? mine : std::string_view())[0];
}

std::vector<double> all_gather_number(Communicator* ranks, double mine) {
  if (ranks == nullptr) return {mine};
  std::vector<double> numbers(static_cast<size_t>(ranks->size()));
  std::vector<Message> messages;
  for (double& number : numbers) messages.push_back({&mine, sizeof mine, &number, sizeof number});
  ranks->exchange(messages);
  numbers[static_cast<size_t>(ranks->rank())] = mine;
  return numbers;
}

double sum_of_ranks(Communicator* ranks, double mine) {
  const std::vector<double> numbers = all_gather_number(ranks, mine);
  return std::accumulate(numbers.begin(), numbers.end(), 0.0);
}

bool on_any_rank(Communicator* ranks, bool here) {
  const std::vector<double> there = all_gather_number(ranks, here ? 1 : 0);
  return std::any_of(there.begin(), there.end(), [](double flag) { return flag != 0; });
}

}  // namespace hone

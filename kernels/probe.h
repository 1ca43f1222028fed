// What this machine can do, measured: the figures that a share of bandwidth or of peak refers to.
#pragma once

#include <cstdint>
#include <memory>

namespace hone {

struct MachinePeaks {
  double read_bytes_per_second = 0;       // all threads reading one large array front to back
  double flops_per_second = 0;            // f32 fused multiply-adds, two operations each, no memory
                                          // (a GPU: the bf16 product of its library)
  double bf16_flops_per_second = 0;       // the same of products of BF16, summed in f32; 0: no such
                                          // instruction here
  double int8_operations_per_second = 0;  // the same of int8; 0: no such instructions here
};

// threads <= 0: default_threads(). array_bytes should be several times the last-level cache; it is
// reduced to a quarter of the free memory. Takes about a second. Best of several passes each, by
// the instructions that HONE_CPU asks for, or the best ones.
MachinePeaks probe_machine(int threads, int64_t array_bytes = int64_t{1} << 30);

// What memory gives at this moment: on a machine shared with others it may halve and double within
// a second, and a share of it means something only beside a reading of the same moment.
class ReadProbe {
 public:
  // Arguments as above.
  explicit ReadProbe(int threads, int64_t array_bytes = int64_t{256} << 20);
  ~ReadProbe();
  ReadProbe(const ReadProbe&) = delete;
  ReadProbe& operator=(const ReadProbe&) = delete;

  double bytes_per_second();             // of one pass
  double best_bytes_per_second() const;  // of those made when it was constructed
  int64_t array_bytes() const;           // memory that the probe holds

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hone

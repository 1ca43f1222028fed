// A loaded model with its caches on one backend: tokens in, logits out. Not thread-safe; ops use
// the backend's own threads.
//
// A token's logits are the same bytes whatever else is in the step, however a prompt is cut into
// chunks by the session, and for any number of threads.
//
// Dynamic-NTK RoPE is the one method whose frequencies depend on the length of a sequence. As in
// transformers, beyond the trained context each call of step() uses the frequencies of the longest
// position the sequence has reached by the end of that call, for all its tokens of that call; keys
// already cached stay as they were turned. So a prompt given in one call equals a full forward,
// while decoding past the trained context equals transformers' decoding with a cache, not a full
// forward of the whole text; a prompt split over several calls does not equal one call.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/probe.h"
#include "libcommon/graph/cut.h"
#include "libcommon/graph/execute.h"
#include "libcommon/model/weights.h"
#include "libcommon/ranks/communicator.h"
#include "libcommon/run/sampler.h"

namespace hone {

struct StepToken {
  int32_t id = 0;        // or drawn_by(): not known here yet
  int32_t sequence = 0;  // slot, in [0, SessionOptions::sequences)
  int32_t position = 0;  // at most the number of tokens its sequence has: the next one, or an
                         // earlier one, which forgets what came after it
  bool wants_logits = false;
};

// The id that row `row` of the step before draws.
constexpr int32_t drawn_by(size_t row) { return -1 - static_cast<int32_t>(row); }

// How a sequence's next token is drawn.
struct Draw {
  const SamplerOptions* options;
  size_t position = 0;                 // of the token
  std::span<const int32_t> seen = {};  // penalised_ids() of the text before it
};
struct Draws {
  std::span<const Draw> rows;  // of the tokens that want logits, in order
  bool log_probabilities = false;
};

// Types of a cache. F32 keeps the logits of a full forward. On the tiny models F16 moves them by up
// to 1.4e-3 of the largest, BF16 by 1.3e-2, I8 by 2.3e-2; the perplexity of stories260K moves by
// -0.007 %, +0.1 % and +0.5 %. A half, a half, a quarter of the memory.

// Arithmetic of the products: how activations are rounded for weights that are stored as integers
// of 8 bits or fewer, and for those in BF16.
enum class Compute : uint8_t {
  kAuto,  // int8 on the CPU, f32 on the reference; a GPU rounds those of a prefill to 16 bits
  kF32,   // activations as they are, also in the prefill of a GPU
  kInt8,  // CPU: activations rounded to int8 in runs (WeightView::int8_input): several times faster
  kBF16,  // kAuto; and CPU and reference: activations rounded to BF16 (WeightView::bf16_input)
};
std::optional<Compute> compute_from_name(std::string_view name);  // "auto", "f32", "int8", "bf16"

struct SessionOptions {
  std::string device = "auto";     // "auto", "cpu", "cuda", "cuda:1", "ref"
  int threads = 0;                 // 0: physical cores in the affinity mask
  int64_t context = 0;             // positions a sequence may have; 0: the model's
  int64_t sequences = 1;           // slots that decode side by side
  // A step is run in chunks of at most so many tokens. 0: 512, and 2048 where a GPU has all layers:
  // with fewer, products of 4096 rows do not fill a large one, and its low-bit weights are decoded
  // for each chunk.
  int64_t max_batch_tokens = 0;
  bool fuse = true;
  // Layers on the GPU, the last ones with the head; the rest on the CPU. Unset: all where `device`
  // says. 0: all on the CPU.
  std::optional<int64_t> gpu_layers = {};
  bool record = true;  // on a GPU: a decode step is one launch (a CUDA graph), not one for each op
  Compute compute = Compute::kAuto;
  // Of cached keys and values: F32, F16, BF16 or I8. Unset: F32, or F16 where a GPU computes.
  std::optional<DType> kv_type = {};
  LoadMode load = LoadMode::kAuto;
  bool sparse = true;      // dense matrices of many zeros are packed (graph/bitmask_weights.h)
  int64_t max_memory = 0;  // bytes of weights in memory, caches and activations; 0: no limit
  // Ranks that share the model, each with a part of every layer, and make the same steps together:
  // each gets all logits. Null: this process has all of it.
  Communicator* ranks = nullptr;
};

// Bytes a session holds. Caches grow with the sequences' length up to `cache_limit`.
struct SessionMemory {
  int64_t weights = 0;      // in memory; mapped files are not counted
  int64_t cache = 0;        // keys and values, now
  int64_t cache_limit = 0;  // keys and values at full context
  int64_t activations = 0;
  int64_t total() const { return weights + cache + activations; }
};

// Layers that run on one backend, and what they take there.
struct SessionPart {
  std::string backend;  // "cpu"
  std::string detail;   // "avx3_spr, 2 threads"
  LayerRange layers;
  int64_t weights = 0;      // bytes as they lie there, or in a mapped file
  int64_t cache_limit = 0;  // bytes of keys and values at full context
};

// The matrices of the products, and how many of them are multiplied without reading what is
// dropped.
struct SparseProducts {
  int64_t matrices = 0;  // all
  int64_t two_of_four = 0;
  int64_t bitmask = 0;
  double share = 0;  // of all their weights, dense count, that those two kinds hold
};

// What one decoded token costs all ranks, from the shapes: the figures behind "GB/s" and "GFLOP/s".
struct TokenCost {
  int64_t weight_bytes = 0;  // of weights as stored, read once per step whatever the batch
  int64_t cache_bytes = 0;   // keys and values read and written
  double flops = 0;          // two per multiply-add
};

class Session {
 public:
  // Throws Error: kUsage for a context that learned positions cannot have or an unknown device;
  // kResource with the figures where max_memory would be passed (at once when options.context is
  // given, else when the caches have grown so far).
  static std::unique_ptr<Session> create(std::shared_ptr<const LoadedModel> model,
                                         const SessionOptions& options);
  ~Session();

  // Runs all tokens and returns the logits of those that want them, in order: [n, vocab], valid
  // until the next call. The positions of one sequence's tokens rise by one each. Throws
  // Error(kUsage) for a position beyond context() (names --ctx) and for an id outside the
  // vocabulary.
  std::span<const float> step(std::span<const StepToken> tokens);

  // The same, and of each row of logits only the token that is drawn, on the device: id -1 where it
  // cannot be (a NaN, or nothing finite). Valid until the next call.
  std::span<const Sampled> step_draws(std::span<const StepToken> tokens, const Draws& draws);
  // Its halves. Where runs_ahead(), a step may be started before the one before it is finished, and
  // its tokens may be drawn_by() rows of that one, if both have at most max_batch_tokens tokens.
  // First started, first finished.
  void start_draws(std::span<const StepToken> tokens, const Draws& draws);
  std::span<const Sampled> finish_draws();
  bool runs_ahead() const;

  // Forgets a sequence: its next token has position 0.
  void reset(int32_t sequence);

  const LoadedModel& model() const;
  const SessionOptions& options() const;
  int64_t vocab() const;
  int64_t context() const;                 // positions a sequence may have
  int64_t length(int32_t sequence) const;  // tokens it has
  DType kv_type() const;
  // In the order in which they run: one, or with gpu_layers the CPU's and the GPU's.
  std::vector<SessionPart> parts() const;
  std::string backend_name() const;    // "cpu", "cpu+cuda"
  std::string backend_detail() const;  // "avx3_spr, 2 threads"
  void time_ops(OpTimes* times);       // see Executor; recorded steps of a GPU count nothing
  std::string bus_id() const;          // of the GPU; "" on the host
  std::string transport() const;       // of what ranks tell each other in a step; "": no ranks
  MachinePeaks measure_peaks();        // of the GPU; zeros on the host
  double create_seconds() const;       // of create(): weights are placed, packed and laid out anew
  int64_t int8_products() const;       // matrices that are multiplied in int8
  int64_t bf16_products() const;       // matrices whose activations are rounded to BF16
  int64_t repacked_products() const;   // dense matrices that lie anew for LoadMode::kRepack
  SparseProducts sparse_products() const;
  SessionMemory memory() const;
  TokenCost token_cost(int64_t depth) const;  // of one token at position `depth`
  // Of each part, of this rank alone.
  std::vector<TokenCost> part_costs(int64_t depth) const;

  struct State;

 private:
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace hone

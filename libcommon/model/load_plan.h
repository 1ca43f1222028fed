// How each stored tensor becomes something a matmul can read: decided from the header alone, before
// the first byte and the first allocation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcommon/io/checkpoint.h"
#include "libcommon/model/layout.h"
#include "libcommon/model/spec.h"
#include "libcommon/model/weights.h"

namespace hone {

enum class LoadAction : uint8_t {
  kSkip,         // not part of the model
  kKeep,         // as stored: where it lies when mapped, else copied
  kMoveRows,     // rows in another order
  kTurn,         // Conv1D: [in, out] -> [out, in]
  kToF32,        // norms and biases (with rows moved for a fused bias)
  kUnpackZeros,  // packed zero points -> int8 [rows, groups] (with rows moved)
  kCheckShape,   // weight_shape: compared, not kept
};

struct LoadStep {
  LoadAction action = LoadAction::kSkip;
  RowMove move;                         // rows of the result; kSame where none move
  int64_t row_bytes = 0;                // kMoveRows
  int64_t result_bytes = 0;             // what the result occupies
  int bits = 0;                         // kUnpackZeros
  int64_t groups = 0;                   // kUnpackZeros
  std::vector<int64_t> expected_shape;  // kCheckShape: rows, columns
};

struct LoadPlan {
  std::vector<LoadStep> steps;  // one for each tensor of the header
  std::vector<StoredWeight> weights;
  std::vector<const TensorSpec*> specs;  // of each of `weights`; null: not part of the model
};

// Refuses types that no matmul reads.
LoadPlan plan_load(const CheckpointHeader& header, const ModelSpec& spec,
                   const std::string& subject);

}  // namespace hone

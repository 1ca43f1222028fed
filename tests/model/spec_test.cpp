// Architectures from config.json: every tiny model, and what must be refused by name.

#include <string>

#include "libcommon/base/error.h"
#include "libcommon/model/model_io.h"
#include "libcommon/model/spec.h"
#include "libcommon/model/weights.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

TEST_CASE("tiny models load") {
  for (const char* name : {"llama", "llama-bf16", "llama-dynamic", "llama-linear", "llama-yarn", "llama3", "mistral", "qwen2", "qwen3", "gpt2", "gpt2-noprefix", "bloom"}) {
    CAPTURE(name);
    auto model = load_model(open_model(std::string(HONE_TESTDATA "/tiny-") + name), {});
    CHECK(model->layers.size() == model->spec.layers.size());
    CHECK(model->layers[0].q.payload != nullptr);
    CHECK(model->final_norm != nullptr);
    CHECK(model->head.payload != nullptr);
  }
}

}  // namespace
}  // namespace hone

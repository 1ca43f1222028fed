// The bundled model, pruned and quantized as the programs do it.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "libcommon/prune/pruner.h"
#include "libcommon/quant/quantizer.h"
#include "tests/run/models.h"

namespace hone::test {

// The bundled model in another storage, as the programs make it.
class StoredModel {
 public:
  StoredModel(const std::string& scheme, bool sparse) {
    std::string path = testdata("storyteller");
    if (sparse) {
      PruneOptions prune;
      prune.model = path;
      prune.output = path = file("sparse");
      prune.pattern = "2:4";
      REQUIRE(run_prune(prune) == ExitCode::kOk);
    }
    if (!scheme.empty()) {
      QuantizeOptions quantize;
      quantize.model = path;
      quantize.output = path = file("quantized");
      quantize.scheme = scheme;
      REQUIRE(run_quantize(quantize) == ExitCode::kOk);
    }
    model_ = load(path);
  }
  ~StoredModel() { std::filesystem::remove_all(folder_); }
  const std::shared_ptr<const LoadedModel>& model() const { return model_; }

 private:
  std::string file(const std::string& name) { return folder_ + "/" + name + ".safetensors"; }

  static std::string new_folder() {
    std::string name = std::filesystem::temp_directory_path() / "hone-test-XXXXXX";
    REQUIRE(mkdtemp(name.data()));
    return name;
  }
  std::string folder_ = new_folder();
  std::shared_ptr<const LoadedModel> model_;
};

}  // namespace hone::test

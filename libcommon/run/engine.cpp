#include "libcommon/run/engine.h"

#include <cstdio>

#include "libcommon/base/error.h"
#include "libcommon/base/log.h"
#include "libcommon/model/model_io.h"
#include "libcommon/run/parts_report.h"
#include "libcommon/run/sparse_report.h"
#include "libcommon/text/side_files.h"

namespace hone {

namespace {

std::string repacked_text(const Session& session) {
  const int64_t count = session.repacked_products();
  return count == 0 ? "" : ", " + std::to_string(count) + " repacked";
}

}  // namespace

const Tokenizer& Engine::require_tokenizer() const {
  if (tokenizer == nullptr) throw Error(tokenizer_fault + "; token ids work without one");
  return *tokenizer;
}

Engine open_engine(const std::string& where, const SessionOptions& session) {
  Engine engine;
  engine.model = load_model(
      open_model(where),
      {.max_memory = session.max_memory, .mode = session.load, .threads = session.threads});
  try {
    if (!engine.model->tokenizer_fault.empty()) throw Error(engine.model->tokenizer_fault);
    engine.tokenizer = Tokenizer::from_files(engine.model->files, engine.model->subject);
    engine.end_ids = engine.tokenizer->eos();
  } catch (const Error& error) {
    engine.tokenizer_fault = error.what();
    const auto nothing_named = [](std::string_view) { return std::nullopt; };
    engine.end_ids = end_ids(engine.model->files, nothing_named, engine.model->subject);
  }
  engine.session = Session::create(engine.model, session);
  char text[96];
  std::snprintf(text, sizeof text, "loaded %s in %.1f ms, weights %s; ",
                human_bytes(static_cast<double>(engine.model->stored_bytes)).c_str(),
                (engine.model->load_seconds + engine.session->create_seconds()) * 1e3,
                weights_place(*engine.model));
  log_verbose(text + engine.session->backend_name() + ", " + engine.session->backend_detail() +
              ", " + std::to_string(engine.session->int8_products()) +
              " matrices multiplied in int8, " + std::to_string(engine.session->bf16_products()) +
              " in bf16" + repacked_text(*engine.session) +
              sparse_text(sparse_json(engine.session->sparse_products())) +
              ", keys and values in " + std::string(kv_type_name(engine.session->kv_type())));
  if (!session.gpu_layers) return engine;
  const std::vector<SessionPart> parts = engine.session->parts();
  for (const Json& part : parts_json(parts)) log_verbose(part_text(part));
  if (parts.size() > 1) log_verbose(turns_text(parts));
  return engine;
}

}  // namespace hone

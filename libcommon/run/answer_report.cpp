#include "libcommon/run/answer_report.h"

#include <cstdio>

#include "libcommon/run/sparse_report.h"

namespace hone {

Json answer_json(const Json& id, const Answer& answer) {
  Json json = Json::object();
  if (!id.is_null()) json["id"] = id;
  json["text"] = answer.text;
  json["ids"] = answer.result.ids;
  json["prompt_ids"] = answer.prompt_ids;
  json["logprobs"] = answer.result.log_probabilities;
  json["finish_reason"] = answer.finish_reason;
  return json;
}

Json timings_json(const Session& session, const GenerateStatistics& statistics) {
  const auto rate = [](double count, double seconds) { return seconds > 0 ? count / seconds : 0; };
  const auto real = [](int64_t count) { return static_cast<double>(count); };
  const GenerateStatistics& s = statistics;
  const double bytes = real(session.token_cost(0).weight_bytes) * real(s.decode_steps);
  Json json = {{"load_seconds", session.model().load_seconds},
               {"weights", weights_place(session.model())},
               {"int8_products", session.int8_products()},
               {"bf16_products", session.bf16_products()},
               {"repacked_products", session.repacked_products()},
               {"sparse", sparse_json(session.sparse_products())},
               {"kv_type", kv_type_name(session.kv_type())},
               {"prompt_tokens", s.prompt_tokens},
               {"prefill_seconds", s.prefill_seconds},
               {"prefill_tokens_per_second", rate(real(s.prompt_tokens), s.prefill_seconds)},
               {"decode_tokens", s.decode_tokens},
               {"decode_seconds", s.decode_seconds},
               {"decode_tokens_per_second", rate(real(s.decode_tokens), s.decode_seconds)},
               {"decode_gigabytes_per_second", rate(bytes, s.decode_seconds) / 1e9}};
  if (const std::string transport = session.transport(); !transport.empty()) {
    json["transport"] = transport;
  }
  return json;
}

std::string timings_line(const Session& session, const GenerateStatistics& statistics,
                         double first_token_seconds) {
  const Json t = timings_json(session, statistics);
  char line[256];
  std::snprintf(
      line, sizeof line,
      "first token after %.1f ms; prefill %lld tokens, %.1f tokens/s; decode %lld tokens, "
      "%.1f tokens/s, %.2f GB/s of weights",
      first_token_seconds * 1e3, static_cast<long long>(statistics.prompt_tokens),
      t["prefill_tokens_per_second"].get<double>(),
      static_cast<long long>(statistics.decode_tokens), t["decode_tokens_per_second"].get<double>(),
      t["decode_gigabytes_per_second"].get<double>());
  return line;
}

std::string json_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace hone

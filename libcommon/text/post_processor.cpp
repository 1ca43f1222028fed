// Templates and the fixed forms of BERT and RoBERTa.
#include "libcommon/text/post_processor.h"

#include "libcommon/text/component.h"

namespace hone {
namespace {

int32_t token_id(const Component& component, const Json& id) {
  const auto value = small_count(id);
  if (!value) throw component.bad("an id is not a small count");
  return *value;
}

// special_tokens: {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}
std::vector<int32_t> special_ids(const Component& component, const std::string& name) {
  const Json& all = component.json();
  const auto table = all.find("special_tokens");
  if (table != all.end() && table->is_object()) {
    const auto token = table->find(name);
    if (token != table->end() && token->is_object()) {
      const auto list = token->find("ids");
      if (list != token->end() && list->is_array()) {
        std::vector<int32_t> ids;
        for (const Json& id : *list) ids.push_back(token_id(component, id));
        return ids;
      }
    }
  }
  throw component.bad("special token '" + name + "' has no entry with 'ids'");
}

// The "id" of {"SpecialToken": {"id": ...}} or {"Sequence": {"id": ...}}; "" where it is neither.
std::string piece_name(const Json& piece, const char* kind) {
  if (!piece.is_object() || !piece.contains(kind)) return "";
  const Json& body = piece[kind];
  if (!body.is_object() || !body.contains("id") || !body["id"].is_string()) return "";
  return body["id"].get<std::string>();
}

PostProcessor from_template(const Component& component) {
  const auto single = component.json().find("single");
  if (single == component.json().end() || !single->is_array()) {
    throw component.bad("'single' is missing or not an array");
  }
  PostProcessor out;
  bool text_seen = false;
  for (const Json& piece : *single) {
    const std::string special = piece_name(piece, "SpecialToken");
    if (!special.empty()) {
      std::vector<int32_t>& side = text_seen ? out.after : out.before;
      for (const int32_t id : special_ids(component, special)) side.push_back(id);
    } else if (piece_name(piece, "Sequence") == "A" && !text_seen) {
      text_seen = true;
    } else {
      throw component.bad("'single' is not one $A among special tokens");
    }
  }
  if (!text_seen) throw component.bad("'single' has no $A");
  return out;
}

// "cls": ["<s>", 0], "sep": ["</s>", 2]
int32_t named_id(const Component& component, const char* key) {
  const auto found = component.json().find(key);
  if (found == component.json().end() || !found->is_array() || found->size() != 2) {
    throw component.bad(std::string("'") + key + "' is not [token, id]");
  }
  return token_id(component, (*found)[1]);
}

PostProcessor from_component(const Component& component) {
  const std::string& type = component.type();
  if (type == "TemplateProcessing") return from_template(component);
  if (type == "ByteLevel") return {};  // changes offsets only
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return {{named_id(component, "cls")}, {named_id(component, "sep")}};
  }
  if (type != "Sequence") throw component.not_implemented();
  PostProcessor out;
  for (const Component& child : component.children("processors")) {
    const PostProcessor inner = from_component(child);
    out.before.insert(out.before.begin(), inner.before.begin(), inner.before.end());
    out.after.insert(out.after.end(), inner.after.begin(), inner.after.end());
  }
  return out;
}

}  // namespace

PostProcessor PostProcessor::from_json(const Json& json, const std::string& subject) {
  return json.is_null() ? PostProcessor{}
                        : from_component(Component(json, "post_processor", subject));
}

}  // namespace hone

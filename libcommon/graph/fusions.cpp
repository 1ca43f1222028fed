#include "libcommon/graph/fusions.h"

#include "kernels/check.h"

namespace hone {
namespace {

constexpr Fusion kFusions[] = {
    {"bias", "y = matmul(x); z = add_bias(y)", "z = matmul(x)",
     "a pass over the product to add the bias", "pointwise"},
    {"gated-activation", "a = unary(g); z = mul(a, u)", "z = gated_activation(g, u)",
     "a pass over [tokens, ffn] to write and read the activated gate", "pointwise"},
    {"gated-matmul", "g = matmul(x); u = matmul(x); z = gated_activation(g, u)",
     "z = gated_matmul(x)",
     "one reading of x, and writing and reading of both [tokens, ffn] products", "product"},
    {"activation", "y = matmul+bias(x); z = unary(y)", "z = matmul(x)",
     "a pass over the product to activate it", "pointwise"},
    {"qkv", "q = matmul+bias(x); k = matmul+bias(x); v = matmul+bias(x)", "q, k, v = qkv_matmul(x)",
     "two readings of x; one launch for a token's three products", "product"},
    {"residual", "y = matmul+bias+activation(x); z = add(y, r)", "z = matmul(x, r)",
     "a pass over the product to add the residual", "pointwise"},
    {"residual-norm", "s = add(a, b); y = norm(s)", "y, s = norm(a, b)", "one reading of the sum",
     "norm"},
    {"norm-qkv", "y = norm(x); q, k, v = qkv_matmul(y)", "q, k, v = qkv_matmul(x)",
     "a launch, and writing and reading the normalised tokens", "split-product", true},
    {"norm-gated", "y = norm(x); z = gated_matmul(y)", "z = gated_matmul(x)",
     "a launch, and writing and reading the normalised tokens", "split-product", true},
    {"norm-matmul", "y = norm(x); z = matmul+bias+activation(y)", "z = matmul(x)",
     "a launch, and writing and reading the normalised tokens", "split-product", true},
    {"rotary-attention", "a = rope(q); b = rope(k); s = kv_store(b, v); z = attention(a, s)",
     "z = rotary_attention(q, k, v)", "two launches between the products and the attention",
     "product", true},
    {"norm-rotary", "n = norm(q); m = norm(k); z = rotary_attention(n, m, v)",
     "z = rotary_attention(q, k, v)",
     "two launches, and writing and reading the normalised queries and keys", "product", true},
};

constexpr Tolerance kTolerances[] = {
    {"exact", 0.0, "the same operations in the same order"},
    {"pointwise", 1e-6, "one rounding more or less per element (2^-24 of it), product kept"},
    {"product", 2e-6, "the product may be summed in another order"},
    {"split-product", 2e-5, "a GPU takes an activation as two 16-bit floats: 2^-17 of it is lost"},
    {"norm", 2e-6, "the sum may stay in a wider type on its way into the norm"},
    {"logits", 1e-4, "what chains add up to through all layers"},
    {"logits-rounded-inputs", 0.2, "W8A8: a last bit more or less can turn an int8 of any layer"},
};

// Words of a pattern: names, and the signs = ( ) , ; +
class PatternReader {
 public:
  explicit PatternReader(std::string_view text) : text_(text) { advance(); }

  bool at_end() const { return word_.empty(); }

  bool accept(std::string_view sign) {
    if (word_ != sign) return false;
    advance();
    return true;
  }

  std::string name() {
    CHECK(!word_.empty() && (word_[0] == '_' || (word_[0] >= 'a' && word_[0] <= 'z')));
    const std::string result(word_);
    advance();
    return result;
  }

  std::vector<std::string> names() {
    std::vector<std::string> result = {name()};
    while (accept(",")) result.push_back(name());
    return result;
  }

 private:
  static bool is_letter(char c) { return c == '_' || (c >= 'a' && c <= 'z'); }

  void advance() {
    while (place_ < text_.size() && text_[place_] == ' ') ++place_;
    const size_t begin = place_;
    while (place_ < text_.size() && is_letter(text_[place_])) ++place_;
    if (place_ == begin && place_ < text_.size()) ++place_;
    word_ = text_.substr(begin, place_ - begin);
  }

  std::string_view text_;
  std::string_view word_;
  size_t place_ = 0;
};

OpKind op_of(std::string_view name) {
  for (size_t i = 0; i < std::size(kOps); ++i) {
    if (kOps[i].name == name) return static_cast<OpKind>(i);
  }
  CHECK(!"an op's name in a fusion's pattern");
  return OpKind::kMatmul;
}

}  // namespace

std::span<const Fusion> fusions() { return kFusions; }

const Fusion* find_fusion(std::string_view name) {
  for (const Fusion& fusion : kFusions) {
    if (fusion.name == name) return &fusion;
  }
  return nullptr;
}

const Tolerance& tolerance(std::string_view name) {
  for (const Tolerance& row : kTolerances) {
    if (row.name == name) return row;
  }
  CHECK(!"a tolerance's name in a fusion's row");
  return kTolerances[0];
}

std::vector<PatternStep> parse_pattern(std::string_view text) {
  PatternReader reader(text);
  std::vector<PatternStep> steps;
  do {
    PatternStep step;
    step.outputs = reader.names();
    CHECK(reader.accept("="));
    step.op = op_of(reader.name());
    while (reader.accept("+")) {
      const std::string part = reader.name();
      CHECK(part == "bias" || part == "activation");
      (part == "bias" ? step.may_have_bias : step.may_have_activation) = true;
    }
    CHECK(reader.accept("("));
    step.inputs = reader.names();
    CHECK(reader.accept(")"));
    steps.push_back(std::move(step));
  } while (reader.accept(";"));
  CHECK(reader.at_end());
  return steps;
}

}  // namespace hone

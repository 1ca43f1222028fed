#include "libcommon/chat/interpreter.h"

#include <memory>
#include <set>
#include <utility>

#include "libcommon/base/error.h"
#include "libcommon/chat/builtins.h"
#include "libcommon/chat/operators.h"

namespace hone::chat {
namespace {

constexpr int64_t kMostSteps = 2'000'000;  // expressions and statements
constexpr int64_t kMostWork = 1 << 28;     // bytes of texts and lists that expressions make
constexpr int64_t kStepsOfRound = 10;      // of a loop: what it costs beside its body
constexpr int kDeepestCalls = 100;         // of macros: each costs stack

// Names of a block; those around it are seen through the parent.
struct Scope {
  Dict names;
  std::shared_ptr<Scope> parent;

  const Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent.get()) {
      if (const Value* found = scope->names.find(name)) return found;
    }
    return nullptr;
  }
};
using ScopePtr = std::shared_ptr<Scope>;

ScopePtr inside(const ScopePtr& parent) {
  return std::make_shared<Scope>(Scope{.names = {}, .parent = parent});
}

enum class Flow { kOn, kBreak, kContinue };

class Interpreter {
 public:
  Interpreter() = default;
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;
  // A namespace may hold itself.
  ~Interpreter() {
    for (const auto& changed : changed_) changed->clear();
  }

  std::string run(const Block& block, const Dict& variables) {
    const ScopePtr scope = inside(nullptr);
    scope->names = global_functions();
    for (const auto& [name, value] : variables.items()) scope->names.set(name, value);
    try {
      execute(block, scope);
    } catch (const Error& fault) {
      throw Error("line " + std::to_string(line_) + ": " + fault.what());
    }
    return std::move(out_);
  }

 private:
  void step(int line, int64_t steps = 1) {
    line_ = line;
    steps_ += steps;
    if (steps_ > kMostSteps) throw Error("the template does not come to an end");
  }

  Flow execute(const Block& block, const ScopePtr& scope) {
    for (const Statement& statement : block) {
      step(statement.line);
      const Flow flow =
          std::visit([&](const auto& form) { return execute(form, scope); }, statement.form);
      if (flow != Flow::kOn) return flow;
    }
    return Flow::kOn;
  }

  void write(const std::string& text) {
    check_text_size(std::ssize(out_) + std::ssize(text));
    out_ += text;
  }

  Flow execute(const Text& text, const ScopePtr&) {
    write(text.text);
    return Flow::kOn;
  }
  Flow execute(const Output& output, const ScopePtr& scope) {
    write(to_text(value(output.value, scope)));
    return Flow::kOn;
  }
  Flow execute(const Break&, const ScopePtr&) { return Flow::kBreak; }
  Flow execute(const Continue&, const ScopePtr&) { return Flow::kContinue; }

  Flow execute(const If& choice, const ScopePtr& scope) {
    for (const auto& [condition, body] : choice.branches) {
      if (truth(value(condition, scope))) return execute(body, scope);
    }
    return execute(choice.otherwise, scope);
  }

  Flow execute(const Set& set, const ScopePtr& scope) {
    const Value result = set.value ? value(set.value, scope) : written(set.body, inside(scope));
    if (set.attribute.empty()) {
      assign(set.names, result, *scope);
      return Flow::kOn;
    }
    const Value* object = scope->find(set.names[0]);
    if (object == nullptr || !object->is_dict()) {
      throw Error("'" + set.names[0] + "' is no namespace");
    }
    object->dict().set(set.attribute, result);
    changed_.insert(object->shared_dict());
    return Flow::kOn;
  }

  // One name takes the value, several its items.
  static void assign(const std::vector<std::string>& names, const Value& value, Scope& scope) {
    if (names.size() == 1) return scope.names.set(names[0], value);
    const List items = elements(value);
    if (items.size() != names.size()) {
      throw Error(std::to_string(names.size()) + " names for " + std::to_string(items.size()) +
                  " values");
    }
    for (size_t i = 0; i < names.size(); ++i) scope.names.set(names[i], items[i]);
  }

  // What a block writes, instead of the output.
  std::string written(const Block& block, const ScopePtr& scope) {
    std::string before = std::exchange(out_, "");
    execute(block, scope);
    return std::exchange(out_, std::move(before));
  }

  Flow execute(const For& loop, const ScopePtr& scope) {
    const List items = items_of(loop, scope);
    for (size_t i = 0; i < items.size(); ++i) {
      step(line_, kStepsOfRound);
      const ScopePtr inner = inside(scope);
      inner->names.set("loop", loop_facts(items, i));
      assign(loop.names, items[i], *inner);
      if (execute(loop.body, inner) == Flow::kBreak) break;
    }
    if (items.empty()) return execute(loop.otherwise, scope);
    return Flow::kOn;
  }

  List items_of(const For& loop, const ScopePtr& scope) {
    const List all = elements(value(loop.items, scope));
    if (!loop.condition) return all;
    List kept;
    for (const Value& item : all) {
      const ScopePtr inner = inside(scope);
      assign(loop.names, item, *inner);
      if (truth(value(loop.condition, inner))) kept.push_back(item);
    }
    return kept;
  }

  static Value loop_facts(const List& items, size_t at) {
    const int64_t index = static_cast<int64_t>(at), count = std::ssize(items);
    Dict facts;
    facts.set("index0", index);
    facts.set("index", index + 1);
    facts.set("revindex0", count - index - 1);
    facts.set("revindex", count - index);
    facts.set("first", index == 0);
    facts.set("last", index + 1 == count);
    facts.set("length", count);
    if (at > 0) facts.set("previtem", items[at - 1]);
    if (at + 1 < items.size()) facts.set("nextitem", items[at + 1]);
    facts.set("cycle", Function([at](const Arguments& arguments) {
                if (arguments.positional.empty()) throw Error("cycle of nothing");
                return arguments.positional[at % arguments.positional.size()];
              }));
    return facts;
  }

  // A macro sees the names around its definition, but does not keep them alive: they hold it.
  Flow execute(const Macro& macro, const ScopePtr& scope) {
    scope->names.set(
        macro.name,
        Function([this, &macro, around = std::weak_ptr<Scope>(scope)](const Arguments& arguments) {
          const ScopePtr parent = around.lock();
          if (!parent) throw Error("macro " + macro.name + " is called out of its block");
          return call(macro, arguments, parent);
        }));
    return Flow::kOn;
  }

  Value call(const Macro& macro, const Arguments& arguments, const ScopePtr& around) {
    if (calls_ >= kDeepestCalls) throw Error("macros call each other too deep");
    if (arguments.positional.size() > macro.parameters.size()) {
      throw Error("macro " + macro.name + ": too many arguments");
    }
    const ScopePtr scope = inside(around);
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
      const auto& [name, otherwise] = macro.parameters[i];
      const Value* given = arguments.find(i, name);
      if (given != nullptr) {
        scope->names.set(name, *given);
      } else {
        scope->names.set(name, otherwise ? value(otherwise, scope) : Undefined{name});
      }
    }
    ++calls_;
    std::string text = written(macro.body, scope);
    --calls_;
    return text;
  }

  Value value(const ExpressionPtr& expression, const ScopePtr& scope) {
    step(expression->line);
    Value result =
        std::visit([&](const auto& form) { return value(form, scope); }, expression->form);
    if (result.is_text()) work_ += std::ssize(result.text());
    if (result.is_list()) work_ += std::ssize(result.list()) * int64_t{sizeof(Value)};
    if (work_ > kMostWork) throw Error("the template makes too much");
    return result;
  }
  // What is left out is Undefined.
  Value optional(const ExpressionPtr& expression, const ScopePtr& scope) {
    return expression ? value(expression, scope) : Value();
  }

  Value value(const Literal& literal, const ScopePtr&) { return literal.value; }

  Value value(const Name& name, const ScopePtr& scope) {
    const Value* found = scope->find(name.name);
    return found != nullptr ? *found : Undefined{name.name};
  }

  Value value(const ListOf& list, const ScopePtr& scope) {
    List out;
    for (const ExpressionPtr& item : list.items) out.push_back(value(item, scope));
    return out;
  }

  Value value(const DictOf& dict, const ScopePtr& scope) {
    Dict out;
    for (const auto& [key, item] : dict.items) {
      const Value name = value(key, scope);
      if (!name.is_text()) throw Error(kind(name) + " as a key is not implemented");
      out.set(name.text(), value(item, scope));
    }
    return out;
  }

  Value value(const Unary& unary, const ScopePtr& scope) {
    const Value operand = value(unary.operand, scope);
    if (unary.sign == "not") return !truth(operand);
    return unary.sign == "-" ? negative(operand) : operand;
  }

  Value value(const Binary& binary, const ScopePtr& scope) {
    const Value left = value(binary.left, scope);
    if (binary.sign == "and") return truth(left) ? value(binary.right, scope) : left;
    if (binary.sign == "or") return truth(left) ? left : value(binary.right, scope);
    return combine(binary.sign, left, value(binary.right, scope));
  }

  Value value(const Comparison& comparison, const ScopePtr& scope) {
    Value left = value(comparison.first, scope);
    for (const auto& [sign, operand] : comparison.rest) {
      Value right = value(operand, scope);
      if (!compare(sign, left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  Value value(const Conditional& choice, const ScopePtr& scope) {
    if (truth(value(choice.condition, scope))) return value(choice.then, scope);
    return optional(choice.otherwise, scope);
  }

  // A method before a key, as Python's attributes come before items.
  Value value(const Attribute& attribute, const ScopePtr& scope) {
    const Value object = value(attribute.object, scope);
    Value found = method(object, attribute.name);
    if (!found.is<Undefined>()) return found;
    if (object.is<Undefined>()) throw Error("'" + object.undefined_name() + "' is undefined");
    return object.is_dict() ? subscript(object, attribute.name) : found;
  }

  // A key before a method.
  Value value(const Subscript& part, const ScopePtr& scope) {
    const Value object = value(part.object, scope);
    const Value index = value(part.index, scope);
    const Value found = subscript(object, index);
    return found.is<Undefined>() && index.is_text() ? method_or(object, index.text(), found)
                                                    : found;
  }
  static Value method_or(const Value& object, const std::string& name, const Value& otherwise) {
    const Value found = method(object, name);
    return found.is<Undefined>() ? otherwise : found;
  }

  Value value(const Slice& part, const ScopePtr& scope) {
    const Value object = value(part.object, scope);
    return slice(object, optional(part.begin, scope), optional(part.end, scope),
                 optional(part.step, scope));
  }

  Value value(const Call& call, const ScopePtr& scope) {
    const Value callee = value(call.callee, scope);
    if (!callee.is_function()) throw Error(kind(callee) + " cannot be called");
    return callee.function()(arguments(call.arguments, scope));
  }

  Value value(const Filter& filter, const ScopePtr& scope) {
    return apply_filter(filter.name, value(filter.operand, scope),
                        arguments(filter.arguments, scope));
  }

  Value value(const Test& test, const ScopePtr& scope) {
    return apply_test(test.name, value(test.operand, scope), arguments(test.arguments, scope));
  }

  Arguments arguments(const CallArguments& call, const ScopePtr& scope) {
    Arguments out;
    for (const ExpressionPtr& argument : call.positional) {
      out.positional.push_back(value(argument, scope));
    }
    for (const auto& [name, argument] : call.named) {
      out.named.emplace_back(name, value(argument, scope));
    }
    return out;
  }

  std::string out_;
  std::set<std::shared_ptr<Dict>> changed_;  // by {% set NAME.ATTRIBUTE %}
  int64_t steps_ = 0;
  int64_t work_ = 0;
  int calls_ = 0;
  int line_ = 0;
};

}  // namespace

std::string run_template(const Block& block, const Dict& variables) {
  return Interpreter().run(block, variables);
}

}  // namespace hone::chat

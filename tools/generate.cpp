// hone-generate: continues a text. The model comes from a path or a pipe, the prompt from an
// option, a file, an argument or a pipe; the continuation goes to stdout as it is made, and nothing
// else.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "libcommon/base/file.h"
#include "libcommon/base/log.h"
#include "libcommon/ranks/launch.h"
#include "libcommon/run/answer.h"
#include "libcommon/run/answer_report.h"
#include "libcommon/run/chat.h"
#include "libcommon/run/engine.h"
#include "tools/generate_options.h"
#include "tools/session_of.h"

using namespace hone;

namespace {

GenerateOptions options;
Communicator* ranks = nullptr;  // the processes that this one works with, if any
std::atomic<bool> interrupted{false};

// The first Ctrl-C ends the answer, the second the program.
void on_interrupt(int) {
  if (interrupted.exchange(true)) _exit(static_cast<int>(ExitCode::kInterrupted));
}

// A launcher may give its ranks pseudo-terminals to write to: nobody sits there.
bool terminal(int descriptor) { return ranks == nullptr && isatty(descriptor) == 1; }

bool spreads_prompts() { return options.data_parallel > 1; }

// While loading, Ctrl-C ends the program as ever; from then on it ends the answer first.
Engine start(int64_t sequences) {
  if (options.model == "-") require_piped_stdin();
  SessionOptions session = session_of(options.common, ranks);
  session.context = options.context;
  session.sequences = sequences;
  if (spreads_prompts()) session.ranks = nullptr;
  Engine engine = open_engine(options.model, session);
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigaction(SIGINT, &action, nullptr);
  if (ranks) sigaction(SIGTERM, &action, nullptr);  // what mpirun makes of Ctrl-C
  return engine;
}

// Scripts may give all options always: what draws nothing is worth a word, not a refusal.
void warn_of_greedy(const std::vector<Prompt>& prompts) {
  const SamplerOptions sampler = answer_options(options, {}).sampler;
  check_sampler_options(sampler);
  const std::string idle = options_of_draws(sampler);
  const auto draws = [](const Prompt& p) {
    return p.temperature.value_or(options.temperature) > 0;
  };
  if (idle.empty() || std::ranges::any_of(prompts, draws) || (ranks && ranks->rank() > 0)) return;
  log_warning(idle + ": no effect at --temperature 0, which takes the likeliest token");
}

// The first rank speaks for all.
void put(const std::string& text) {
  if (ranks && ranks->rank() > 0) return;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw_errno("standard output", "write failed");
  }
}

// The logits after the last prompt token, computed afresh: only for comparisons with other
// programs.
Json prompt_logits(Session& session, const std::vector<int32_t>& ids) {
  session.reset(0);
  std::vector<StepToken> tokens;
  for (size_t i = 0; i < ids.size(); ++i) {
    tokens.push_back({ids[i], 0, static_cast<int32_t>(i), i + 1 == ids.size()});
  }
  const std::span<const float> logits = session.step(tokens);
  return std::vector<float>(logits.begin(), logits.end());
}

Answer answer_one(Engine& engine, const Prompt& prompt) {
  const bool ids_only = !prompt.token_ids.empty();
  GenerateStatistics statistics;
  AnswerControl control{.cancel = &interrupted, .statistics = &statistics};
  if (!options.common.json) {
    if (options.echo) put(prompt.text);
    if (ids_only) control.on_token = [](size_t, int32_t id) { put(std::to_string(id) + " "); };
    if (!ids_only) control.on_text = [](size_t, const std::string& text) { put(text); };
  }
  Answer answer = hone::answer(*engine.session, engine.tokenizer.get(), {prompt},
                               answer_options(options, engine.end_ids), control)[0];
  if (options.common.json) {
    Json json = answer_json(nullptr, answer);
    json["timings"] = timings_json(*engine.session, statistics);
    json["timings"]["first_token_seconds"] = answer.result.first_token_seconds;
    if (options.dump_logits) json["logits"] = prompt_logits(*engine.session, answer.prompt_ids);
    put(json_line(json));
  } else if (ids_only || terminal(STDOUT_FILENO)) {
    put("\n");
  }
  log_verbose(timings_line(*engine.session, statistics, answer.result.first_token_seconds));
  return answer;
}

void answer_many(Engine& engine, const std::vector<Prompt>& prompts) {
  GenerateStatistics statistics;
  const std::vector<Prompt> own = spreads_prompts() ? share_of(prompts, ranks->shard()) : prompts;
  const std::vector<Answer> answers = hone::answer(
      *engine.session, engine.tokenizer.get(), own, answer_options(options, engine.end_ids),
      {.cancel = &interrupted, .statistics = &statistics});
  std::string lines;
  for (size_t i = 0; i < answers.size(); ++i)
    lines += json_line(answer_json(own[i].id, answers[i]));
  put(spreads_prompts() ? lines_in_order(all_gather_text(*ranks, lines)) : lines);
  const double first = answers.empty() ? 0 : answers[0].result.first_token_seconds;
  log_verbose((spreads_prompts() ? "the first rank's share: " : "") +
              timings_line(*engine.session, statistics, first));
}

// Calls `each` with every line but empty ones, until the input ends.
template <typename Each>
void for_lines(const char* hint, const Each& each) {
  std::fprintf(stderr, "%s; Ctrl-C stops an answer, Ctrl-D ends.\n", hint);
  for (std::string line; std::fputs("> ", stderr), std::getline(std::cin, line);) {
    if (!line.empty()) each(line);
    interrupted = false;
  }
  std::fputs("\n", stderr);
}

void continue_lines(Engine& engine) {
  for_lines("Type the beginning of a text",
            [&](const std::string& line) { answer_one(engine, {.id = nullptr, .text = line}); });
}

// Every message is answered in view of all before it, which need not be computed again.
void converse(Engine& engine, const Chat& chat) {
  Json messages = Json::array();
  std::vector<int32_t> known;
  for_lines("Type a message", [&](const std::string& line) {
    messages.push_back(one_message(line)[0]);
    Prompt prompt = chat.prompt(messages);
    prompt.known = std::move(known);
    const Answer answer = answer_one(engine, prompt);
    messages.push_back({{"role", "assistant"}, {"content", answer.text}});
    known = answer.prompt_ids;
    known.insert(known.end(), answer.result.ids.begin(), answer.result.ids.end());
  });
}

// Counts the places a prompt is given in; more than one, or the model's own, is a mistake.
int prompts_given() {
  const int given = options.prompt_given + !options.file.empty() + !options.token_ids.empty() +
                    !options.prompt_argument.empty() + !options.prompts.empty() +
                    !options.messages.empty();
  if (given > 1) {
    throw usage_error("give one of -p, -f, --token-ids, --messages, --prompts and PROMPT");
  }
  const auto piped = [](const std::string& file) { return file == "-"; };
  if (options.model == "-" &&
      (piped(options.file) || piped(options.prompts) || piped(options.messages))) {
    throw usage_error("model and prompt cannot both be standard input");
  }
  return given;
}

// The prompt, wherever it comes from; nullopt: none was given.
std::optional<Prompt> single_prompt() {
  const int given = prompts_given();
  Prompt prompt;
  if (!options.token_ids.empty()) {
    prompt.token_ids = parse_token_ids(options.token_ids, "--token-ids");
    return prompt;
  }
  prompt.text = options.prompt_given ? options.prompt : options.prompt_argument;
  if (!options.file.empty()) prompt.text = read_for_all(options.file, ranks);
  if (given == 0 && options.model != "-" && !terminal(STDIN_FILENO))
    prompt.text = read_for_all("-", ranks);
  if (!options.messages.empty()) {
    prompt.messages = parse_messages(read_for_all(options.messages, ranks), options.messages);
  }
  if (given == 0 && prompt.text.empty()) return std::nullopt;
  return prompt;
}

// What is said beside the messages; read before the model, so that a mistake shows at once.
ChatOptions chat_options() {
  const bool said =
      !options.system.empty() || !options.chat_template.empty() || !options.chat_variables.empty();
  if (said && !options.chat && options.messages.empty() && options.prompts.empty()) {
    throw usage_error("--system, --chat-template and --chat-variables need --chat or --messages");
  }
  ChatOptions chat{.system = options.system,
                   .template_file = options.chat_template,
                   .template_source = "",
                   .variables = parse_chat_variables(options.chat_variables, "--chat-variables")};
  if (!options.chat_template.empty()) {
    chat.template_source = read_for_all(options.chat_template, ranks);
  }
  return chat;
}

Chat chat_with(const Engine& engine, const ChatOptions& chat) {
  engine.require_tokenizer();
  return {engine.model->files, engine.model->subject, chat};
}

// Messages, and with --chat every text, become what the model's template makes of them.
void write_out(const Engine& engine, const ChatOptions& chat, std::vector<Prompt>& prompts) {
  for (Prompt& prompt : prompts) {
    const bool text = prompt.messages.is_null() && prompt.token_ids.empty();
    if (options.chat && text) prompt.messages = one_message(prompt.text);
  }
  const auto talks = [](const Prompt& prompt) { return !prompt.messages.is_null(); };
  if (std::ranges::any_of(prompts, talks)) chat_with(engine, chat).write_out(prompts);
}

void talk(const ChatOptions& chat) {
  const bool possible = options.model != "-" && terminal(STDIN_FILENO) && terminal(STDOUT_FILENO);
  if (!possible) {
    throw usage_error("no prompt: use -p TEXT, -f FILE, --token-ids, --messages or --prompts FILE");
  }
  warn_of_greedy({Prompt()});
  Engine engine = start(1);
  engine.require_tokenizer();
  if (options.chat) {
    converse(engine, chat_with(engine, chat));
  } else {
    continue_lines(engine);
  }
}

ExitCode generate_text() {
  const ChatOptions chat = chat_options();
  if (prompts_given() > 0 && !options.prompts.empty()) {
    auto prompts = parse_prompts(read_for_all(options.prompts, ranks), options.prompts);
    warn_of_greedy(prompts);
    Engine engine = start(options.batch);
    write_out(engine, chat, prompts);
    answer_many(engine, prompts);
  } else if (const std::optional<Prompt> prompt = single_prompt()) {
    std::vector<Prompt> prompts = {*prompt};
    warn_of_greedy(prompts);
    Engine engine = start(1);
    if (prompt->token_ids.empty()) engine.require_tokenizer();
    write_out(engine, chat, prompts);
    answer_one(engine, prompts[0]);
  } else {
    talk(chat);
  }
  return interrupted ? ExitCode::kInterrupted : ExitCode::kOk;
}

RanksWanted wanted_ranks() {
  const int64_t tensor = options.common.tensor_parallel;
  if (tensor <= 1 && !spreads_prompts()) return {};
  mute_others();
  const std::string option = tensor > 1 ? "--tensor-parallel" : "--data-parallel";
  if (tensor > 1 && spreads_prompts()) {
    throw usage_error("give one of --tensor-parallel and --data-parallel");
  }
  if (spreads_prompts() && options.prompts.empty()) {
    throw usage_error(option + " spreads the prompts of a --prompts FILE");
  }
  if (options.model == "-") {
    throw usage_error(option + ": the model must be a path; standard input reaches one rank only");
  }
  return {std::max(tensor, options.data_parallel), option, history_line()};
}

ExitCode run() {
  set_verbose(options.common.verbose);
  return run_on_ranks(wanted_ranks(), [](Communicator* all) {
    ranks = all;
    return generate_text();
  });
}

}  // namespace

int main(int argc, char** argv) { return run_tool(declare_generate(options, run), argc, argv); }

// A fuse report for people and for programs.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "libcommon/base/log.h"
#include "libcommon/bench/report.h"
#include "libcommon/graph/fuse_report.h"

namespace hone {
namespace {

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string short_error(double relative) { return formatted("%.1e", relative); }
std::string bytes_text(int64_t bytes) { return human_bytes(static_cast<double>(bytes)); }

// ---- The table: one row for each group of identical places.

// "0-21", "0, 2-5"; "-" for what belongs to no layer.
std::string layers_text(std::vector<int64_t> layers) {
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  std::string text;
  for (size_t i = 0; i < layers.size();) {
    size_t end = i + 1;
    while (end < layers.size() && layers[end] == layers[end - 1] + 1) ++end;
    if (!text.empty()) text += ", ";
    text += layers[i] < 0 ? "-" : std::to_string(layers[i]);
    if (end - i > 1) text += "-" + std::to_string(layers[end - 1]);
    i = end;
  }
  return text;
}

struct Group {
  const FusionLine* first = nullptr;
  std::vector<int64_t> layers;
  int64_t places = 0;
  Cost saved;
  std::optional<ChainCheck> worst;  // differences: the largest of all places
};

void add_check(std::optional<ChainCheck>& sum, const std::optional<ChainCheck>& check) {
  if (!check) return;
  if (!sum) {
    sum = check;
    return;
  }
  const auto join = [](std::optional<Difference>& a, const std::optional<Difference>& b) {
    if (a && b) a = worst(*a, *b);
  };
  sum->fused_unfused = worst(sum->fused_unfused, check->fused_unfused);
  join(sum->fused_reference, check->fused_reference);
  join(sum->unfused_reference, check->unfused_reference);
}

std::vector<Group> groups(const FuseReport& report, bool fused) {
  std::vector<Group> result;
  for (const FusionLine& line : report.lines) {
    if (line.candidate.fused != fused) continue;
    auto group = std::find_if(result.begin(), result.end(),
                              [&](const Group& g) { return g.first->group == line.group; });
    if (group == result.end()) {
      result.push_back({.first = &line, .layers = {}, .places = 0, .saved = {}, .worst = {}});
      group = result.end() - 1;
    }
    group->layers.push_back(line.candidate.layer);
    ++group->places;
    group->saved = group->saved + line.cost.saved;
    add_check(group->worst, line.check);
  }
  return result;
}

// "ffn.up" of "layer 3 ffn.up".
std::string place_text(const FusionLine& line) {
  const std::string& place = line.candidate.place;
  const size_t space = place.find(' ', 6);
  return place.starts_with("layer ") && space != std::string::npos ? place.substr(space + 1)
                                                                   : place;
}

std::string reason_text(const std::string& group) {
  const size_t begin = group.find(" | ", group.find(" | ") + 1) + 3;
  return group.substr(begin, group.find(" | ", begin) - begin);
}

Json row_of(const Group& group) {
  const FusionLine& line = *group.first;
  Json row = {{"rank", line.rank},
              {"fusion", line.candidate.fusion->name},
              {"at", place_text(line)},
              {"layers", layers_text(group.layers)},
              {"shapes", line.shapes},
              {"stored", line.storage},
              {"bytes", bytes_text(group.saved.activation_bytes)},
              {"flops", group.saved.flops == 0 ? "0" : formatted("%.3g", group.saved.flops)},
              {"launches", group.saved.launches},
              {"factor", formatted("%.3g", line.cost.fusion_factor)}};
  if (!line.candidate.fused) row["reason"] = reason_text(line.group);
  if (!group.worst) return row;
  const ChainCheck& check = *group.worst;
  row["abs"] = short_error(check.fused_unfused.absolute);
  row["rel"] = short_error(check.fused_unfused.relative);
  row["ulp"] = formatted("%.0f", check.fused_unfused.ulp);
  row["ok"] = check.passed() ? "ok" : "OUTSIDE " + short_error(check.tolerance);
  if (check.fused_reference) row["fused_ref"] = short_error(check.fused_reference->relative);
  if (check.unfused_reference) row["unfused_ref"] = short_error(check.unfused_reference->relative);
  if (!check.timing) return row;
  row["us"] = formatted("%.1f", check.timing->unfused_seconds * 1e6) + " -> " +
              formatted("%.1f", check.timing->fused_seconds * 1e6);
  return row;
}

std::string fused_table(const FuseReport& report) {
  std::vector<Json> rows;
  bool was_run = false;
  for (const Group& group : groups(report, true)) {
    rows.push_back(row_of(group));
    was_run = was_run || group.worst;
  }
  std::vector<ReportColumn> columns = {{"rank", "#"},
                                       {"fusion", "fusion"},
                                       {"at", "at"},
                                       {"layers", "layers"},
                                       {"shapes", "weights"},
                                       {"stored", "stored"},
                                       {"factor", "FLOP/byte"},
                                       {"bytes", "bytes saved"},
                                       {"flops", "FLOPs saved"},
                                       {"launches", "launches saved"}};
  if (was_run) {
    const std::vector<ReportColumn> more = {{"abs", "abs"},
                                            {"rel", "rel"},
                                            {"ulp", "ulp"},
                                            {"unfused_ref", "unfused/ref"},
                                            {"fused_ref", "fused/ref"},
                                            {"us", "time, us"},
                                            {"ok", "verdict"}};
    columns.insert(columns.end(), more.begin(), more.end());
  }
  return rows.empty() ? "nothing fuses\n" : report_text(columns, rows, ReportFormat::kTable);
}

std::string unfused_table(const FuseReport& report) {
  std::vector<Json> rows;
  for (const Group& group : groups(report, false)) rows.push_back(row_of(group));
  if (rows.empty()) return "";
  return "\nNot fused, and why:\n\n" + report_text({{"fusion", "fusion"},
                                                    {"at", "at"},
                                                    {"layers", "layers"},
                                                    {"shapes", "weights"},
                                                    {"stored", "stored"},
                                                    {"reason", "reason"}},
                                                   rows, ReportFormat::kTable);
}

std::string ratio_line(const std::string& what, const std::string& before,
                       const std::string& after) {
  std::string line = what;
  line.resize(std::max<size_t>(line.size(), 24), ' ');
  return line + before + " -> " + after + "\n";
}

std::string totals_text(const FuseReport& report) {
  const GraphFigures& before = report.figures_before;
  const GraphFigures& after = report.figures_after;
  return ratio_line("launches", std::to_string(before.cost.launches),
                    std::to_string(after.cost.launches)) +
         ratio_line("activations moved", bytes_text(before.cost.activation_bytes),
                    bytes_text(after.cost.activation_bytes)) +
         ratio_line("FLOPs", formatted("%.4g", before.cost.flops),
                    formatted("%.4g", after.cost.flops)) +
         ratio_line("activations held", bytes_text(before.arena_bytes),
                    bytes_text(after.arena_bytes)) +
         "weights read            " + bytes_text(after.cost.weight_bytes) + "\n";
}

std::string model_text(const ModelCheck& check) {
  std::string text =
      "logits                  fused differs by " + short_error(check.fused_unfused.absolute) +
      ", relative " + short_error(check.fused_unfused.relative) + ", " +
      formatted("%.0f", check.fused_unfused.ulp) +
      " ulp: " + (check.passed() ? "ok" : "OUTSIDE " + short_error(check.tolerance)) + "\n";
  if (check.fused_reference && check.unfused_reference) {
    text += "against ref             unfused " + short_error(check.unfused_reference->relative) +
            ", fused " + short_error(check.fused_reference->relative) + "\n";
  }
  const auto times = [](const std::string& what, const Timing& timing) {
    if (timing.fused_seconds <= 0) return std::string();
    return ratio_line(what, formatted("%.3f ms", timing.unfused_seconds * 1e3),
                      formatted("%.3f ms", timing.fused_seconds * 1e3));
  };
  return text + times("time of the step", check.prefill) + times("time of one token", check.decode);
}

// ---- JSON: every place.

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json("infinite"); }

Json json_of(const Difference& d) {
  return {
      {"absolute", finite(d.absolute)}, {"relative", finite(d.relative)}, {"ulp", finite(d.ulp)}};
}

Json json_of(const std::optional<Difference>& d) { return d ? json_of(*d) : Json(nullptr); }

Json json_of(const Cost& cost) {
  return {{"weight_bytes", cost.weight_bytes},
          {"cache_bytes", cost.cache_bytes},
          {"activation_bytes", cost.activation_bytes},
          {"flops", cost.flops},
          {"launches", cost.launches}};
}

Json json_of(const Timing& timing) {
  return {{"unfused_seconds", timing.unfused_seconds}, {"fused_seconds", timing.fused_seconds}};
}

template <typename Check>  // ChainCheck or ModelCheck
Json json_of_check(const Check& check) {
  return {{"fused_unfused", json_of(check.fused_unfused)},
          {"fused_reference", json_of(check.fused_reference)},
          {"unfused_reference", json_of(check.unfused_reference)},
          {"tolerance", check.tolerance},
          {"tolerance_name", check.tolerance_name},
          {"passed", check.passed()}};
}

Json json_of(const FusionLine& line) {
  const Candidate& candidate = line.candidate;
  Json chain = Json::array();
  for (const Node& node : candidate.chain) {
    chain.push_back({{"op", op_name(node.op)}, {"name", node.name}});
  }
  Json json = {{"fusion", candidate.fusion->name},
               {"place", candidate.place},
               {"layer", candidate.layer < 0 ? Json(nullptr) : Json(candidate.layer)},
               {"fused", candidate.fused},
               {"reason", candidate.fused ? Json(nullptr) : Json(candidate.reason)},
               {"chain", chain},
               {"shapes", line.shapes},
               {"storage", line.storage},
               {"rank", line.rank},
               {"fusion_factor", line.cost.fusion_factor},
               {"saves", candidate.fusion->saves},
               {"cost",
                {{"unfused", json_of(line.cost.chain)},
                 {"fused", json_of(line.cost.fused)},
                 {"saved", json_of(line.cost.saved)}}}};
  if (!line.check) return json;
  json["check"] = json_of_check(*line.check);
  if (line.check->timing) json["check"]["timing"] = json_of(*line.check->timing);
  return json;
}

Json json_of(const GraphFigures& figures) {
  Json json = json_of(figures.cost);
  json["arena_bytes"] = figures.arena_bytes;
  json["sum_bytes"] = figures.sum_bytes;
  return json;
}

}  // namespace

std::string fuse_table(const FuseReport& report) {
  std::string text = report.subject + ": a step of " + std::to_string(report.shape.tokens) +
                     " tokens\n\n" + fused_table(report) + unfused_table(report) + "\n" +
                     totals_text(report);
  if (report.model) text += model_text(*report.model);
  return text;
}

Json fuse_json(const FuseReport& report) {
  Json lines = Json::array();
  for (const FusionLine& line : report.lines) lines.push_back(json_of(line));
  Json json = {{"model", report.subject},
               {"tokens", report.shape.tokens},
               {"passed", report.passed()},
               {"unfused", json_of(report.figures_before)},
               {"fused", json_of(report.figures_after)},
               {"candidates", lines}};
  if (!report.model) return json;
  json["logits"] = json_of_check(*report.model);
  json["prefill"] = json_of(report.model->prefill);
  json["decode"] = json_of(report.model->decode);
  return json;
}

}  // namespace hone

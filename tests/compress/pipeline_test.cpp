// The pipeline: bytes in order, chunks, scans, parts, errors of every thread.
#include "libcommon/compress/pipeline.h"

#include <numeric>

#include "libcommon/base/error.h"
#include "libcommon/compress/step_source.h"
#include "tests/compress/memory_model.h"
#include "tests/support/doctest.h"

namespace hone {
namespace {

using test::MemoryReader;
using test::MemoryWriter;
using test::ModelBuilder;

// Adds to every F32 element the sum that `scans` looks at the tensor gave, checks the order of
// calls, and ends with a second output: the number of rows.
class SumTransform final : public Transform {
 public:
  SumTransform(int64_t columns, int scans, int64_t multiple)
      : columns_(columns), scans_(scans), multiple_(multiple) {}
  int scans() const override { return scans_; }
  int64_t row_multiple() const override { return multiple_; }
  void scan(int pass, const Chunk& chunk, ThreadPool&) override {
    CHECK(pass >= pass_);
    if (pass > pass_) next_row_ = 0;
    pass_ = pass;
    check_place(chunk);
    for (float value : floats(chunk)) sum_ += value;
  }
  void apply(const Chunk& chunk, Bytes& out, ThreadPool& pool) override {
    if (!applied_) next_row_ = 0;
    applied_ = true;
    check_place(chunk);
    std::vector<float> values = floats(chunk);
    pool.parallel_for(static_cast<int64_t>(values.size()), 100, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i)
        values[static_cast<size_t>(i)] += static_cast<float>(sum_);
    });
    out.resize(values.size() * 4);
    std::memcpy(out.data(), values.data(), out.size());
    chunks_ += 1;
  }
  void finish(Bytes& out) override {
    out.resize(8);
    std::memcpy(out.data(), &next_row_, 8);
  }
  int chunks() const { return chunks_; }

 private:
  static std::vector<float> floats(const Chunk& chunk) {
    std::vector<float> values(chunk.bytes.size() / 4);
    std::memcpy(values.data(), chunk.bytes.data(), chunk.bytes.size());
    return values;
  }
  void check_place(const Chunk& chunk) {
    CHECK(chunk.first == next_row_);
    CHECK(chunk.first % multiple_ == 0);
    CHECK(static_cast<int64_t>(chunk.bytes.size()) == chunk.count * columns_ * 4);
    next_row_ += chunk.count;
  }
  int64_t columns_;
  int scans_;
  int64_t multiple_;
  int pass_ = 0;
  int64_t next_row_ = 0;
  bool applied_ = false;
  double sum_ = 0;
  int chunks_ = 0;
};

ModelBuilder two_tensors() {
  ModelBuilder model("{}");
  model.add("a", {5, 3});
  model.add_values({"big", DType::kF32, {3001, 1024}}, std::vector<float>(3001 * 1024, 1.0f));
  model.add("z", {7});
  return model;
}

std::vector<Step> sum_steps(const CheckpointHeader& header, std::shared_ptr<Transform> transform) {
  std::vector<Step> steps = {copy_step(header, 0), copy_step(header, 1), copy_step(header, 2)};
  steps[1].outputs.push_back({"rows", DType::kI64, {1}});
  steps[1].transform = std::move(transform);
  return steps;
}

TEST_CASE("copies pass in order; a transformed tensor is scanned, then written in chunks") {
  for (bool random_access : {true, false}) {
    for (int scans : {0, 2}) {
      CAPTURE(random_access);
      CAPTURE(scans);
      const ModelBuilder model = two_tensors();
      MemoryReader reader = model.reader(random_access);
      const auto transform = std::make_shared<SumTransform>(1024, scans, 8);
      const StagePlan plan = plan_stage(reader.header(), sum_steps(reader.header(), transform));
      MemoryWriter writer;
      run_pipeline(reader, writer, plan, {.threads = 3, .statistics = [] { return Json("end"); }});
      CHECK(writer.finished());
      CHECK(writer.statistics() == "end");
      CHECK(transform->chunks() > 1);
      CHECK(writer.values("a") == model.values("a"));
      CHECK(writer.values("z") == model.values("z"));
      const float expected = 1.0f + static_cast<float>(scans) * 3001 * 1024;
      const std::vector<float> big = writer.values("big");
      CHECK(std::count(big.begin(), big.end(), expected) == 3001 * 1024);
      CHECK(writer.values("rows")[0] == 3001);
    }
  }
}

TEST_CASE("without a scan no more than a chunk is read at once") {
  const ModelBuilder model = two_tensors();
  MemoryReader reader = model.reader(false);
  const auto transform = std::make_shared<SumTransform>(1024, 0, 1);
  MemoryWriter writer;
  run_pipeline(reader, writer, plan_stage(reader.header(), sum_steps(reader.header(), transform)),
               {});
  CHECK(reader.largest_read() <= static_cast<size_t>(kChunkBytes));
}

TEST_CASE("the plan's header: history grows, aliases of dropped tensors go") {
  ModelBuilder model = two_tensors();
  model.header().history = {"first"};
  model.header().aliases = {{"twin", "a"}, {"orphan", "z"}};
  const StagePlan plan = plan_stage(model.header(), {copy_step(model.header(), 0)});
  CHECK(plan.header.history.size() == 2);
  CHECK(plan.header.history[0] == "first");
  CHECK(plan.header.tensors.size() == 1);
  CHECK((plan.header.aliases == std::map<std::string, std::string>{{"twin", "a"}}));
}

class Throwing final : public Transform {
 public:
  void apply(const Chunk&, Bytes&, ThreadPool& pool) override {
    pool.parallel_for(4, 1, [](int64_t begin, int64_t) {
      if (begin == 2) throw Error("bad weight");
    });
  }
};

TEST_CASE("an error of the worker, the reader or the writer stops all and arrives") {
  const ModelBuilder model = two_tensors();
  {
    MemoryReader reader = model.reader();
    MemoryWriter writer;
    const StagePlan plan =
        plan_stage(reader.header(), sum_steps(reader.header(), std::make_shared<Throwing>()));
    CHECK_THROWS_WITH_AS(run_pipeline(reader, writer, plan, {.threads = 2}), "bad weight", Error);
    CHECK_FALSE(writer.finished());
  }
  {
    MemoryReader reader = model.reader();
    MemoryWriter writer;
    writer.fail_after(1 << 20);
    const StagePlan plan = plan_stage(
        reader.header(), sum_steps(reader.header(), std::make_shared<SumTransform>(1024, 0, 1)));
    CHECK_THROWS_WITH(run_pipeline(reader, writer, plan, {}), "full");
    CHECK_FALSE(writer.finished());
  }
  {
    class Truncated final : public CheckpointReader {
     public:
      explicit Truncated(const CheckpointHeader& header) { header_ = header; }
      bool next() override { return ++index_ < static_cast<int64_t>(header_.tensors.size()); }
      void read(std::span<std::byte> out) override {
        if (index_ == 1) throw Error("truncated");
        std::fill(out.begin(), out.end(), std::byte{0});
      }
      bool random_access() const override { return false; }
      void read_at(int64_t, int64_t, std::span<std::byte>) override {}
      const std::byte* mapped(int64_t) const override { return nullptr; }
    };
    Truncated reader(model.header());
    MemoryWriter writer;
    const StagePlan plan = plan_stage(
        reader.header(), sum_steps(reader.header(), std::make_shared<SumTransform>(1024, 0, 1)));
    CHECK_THROWS_WITH_AS(run_pipeline(reader, writer, plan, {}), "truncated", Error);
    CHECK_FALSE(writer.finished());
  }
}

// Needs a later tensor before its first row.
class NeedsSide final : public Transform {
 public:
  void start(const SideTensors& sides) override { side_ = sides.at(2); }
  void apply(const Chunk& chunk, Bytes& out, ThreadPool&) override {
    out.assign(chunk.bytes.begin(), chunk.bytes.end());
  }
  void finish(Bytes& out) override { out = side_; }

 private:
  Bytes side_;
};

TEST_CASE("a part that comes later in a pipe is there before the first row") {
  for (bool random_access : {true, false}) {
    const ModelBuilder model = two_tensors();
    MemoryReader reader = model.reader(random_access);
    std::vector<Step> steps = {copy_step(reader.header(), 0), copy_step(reader.header(), 1)};
    steps[1].sides = {2};
    steps[1].outputs.push_back(reader.header().tensors[2]);
    steps[1].transform = std::make_shared<NeedsSide>();
    MemoryWriter writer;
    run_pipeline(reader, writer, plan_stage(reader.header(), steps), {});
    CHECK(writer.values("z") == model.values("z"));
    CHECK(writer.values("big") == model.values("big"));
  }
}

TEST_CASE("the memory estimate counts what is held") {
  const ModelBuilder model = two_tensors();
  const auto scanned = std::make_shared<SumTransform>(1024, 1, 1);
  const StagePlan plan = plan_stage(model.header(), sum_steps(model.header(), scanned));
  CHECK(holds_whole(plan.steps[1], 1 << 20, true));
  CHECK(holds_whole(plan.steps[1], int64_t{1} << 40, false));
  CHECK_FALSE(holds_whole(plan.steps[1], int64_t{1} << 40, true));
  CHECK_FALSE(holds_whole(plan.steps[0], int64_t{1} << 40, false));
  CHECK(pipeline_memory(model.header(), plan, true) > 2 * model.header().total_bytes());
}

}  // namespace
}  // namespace hone

// Which test runs which kernel on the emulator: $SIMT_LAUNCHES names a file that gets a line for
// each pair, the kernel's address in the program and the test's name. scripts/check_kernel_tests.py
// reads it.
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "kernels/simt/device.h"
// Last: its CHECK.
#include "tests/support/doctest.h"

extern "C" const char __executable_start;  // the linker's

namespace hone {
namespace {

std::string test;
std::set<std::pair<uintptr_t, std::string>> launches;

class Listener final : public doctest::IReporter {
 public:
  explicit Listener(const doctest::ContextOptions&) {
    if (!std::getenv("SIMT_LAUNCHES")) return;
    simt::emu::on_launch = [](const void* kernel) {
      const auto base = reinterpret_cast<uintptr_t>(&__executable_start);
      launches.emplace(reinterpret_cast<uintptr_t>(kernel) - base, test);
    };
  }
  void test_case_start(const doctest::TestCaseData& data) override { test = data.m_name; }
  void test_run_end(const doctest::TestRunStats&) override {
    if (!simt::emu::on_launch) return;
    std::ofstream out(std::getenv("SIMT_LAUNCHES"));
    for (const auto& [kernel, name] : launches) out << std::hex << kernel << ' ' << name << '\n';
  }

  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};

REGISTER_LISTENER("launches", 1, Listener);

}  // namespace
}  // namespace hone

// What every example program does the same way: its command line and its one sentence when something fails.
#pragma once

#include <cmath>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include <qcnet/core/parallel.hpp>
#include <qcnet/core/result.hpp>

#include <CLI/CLI.hpp>

namespace examples {

/// Checks of an option's number. CLI11's own let NaN pass, and write out the largest double.
inline CLI::Validator number_that(bool (*holds)(double), const std::string& wanted) {
  return {[=](const std::string& text) {
            double number = 0;
            const bool octal =
                text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9';  // to CLI11
            const bool good =
                !octal && CLI::detail::lexical_cast(text, number) && std::isfinite(number) && holds(number);
            return good ? std::string() : text + " is not a number " + wanted;
          },
          wanted};
}
inline CLI::Validator above_zero() {
  return number_that([](double n) { return n > 0; }, "above 0");
}
inline CLI::Validator from_zero() {
  return number_that([](double n) { return n >= 0; }, "from 0 on");
}
inline CLI::Validator from_zero_to_one() {
  return number_that([](double n) { return n >= 0 && n <= 1; }, "from 0 to 1");
}

/// Of an option that names a file: an empty name is an unset variable of a script.
inline CLI::Validator named() {
  return {[](const std::string& text) { return text.empty() ? "the name is empty" : std::string(); }, ""};
}

/// Adds --threads, which holds from then on. One thread is the default: it is what a small node has, and
/// small models gain nothing from more.
inline void add_threads_option(CLI::App& app) {
  qcnet::set_num_threads(1);
  const auto set = [](int count) {
    qcnet::set_num_threads(count);
    if (qcnet::num_threads() != count)
      throw CLI::ValidationError("--threads", "this program was built without OpenMP, for one thread");
  };
  app.add_option_function<int>("--threads", set, "Threads to use (default 1)")->check(CLI::Range(1, 1024));
}

/// Adds --bf16, off by default.
inline void add_bf16_option(CLI::App& app, bool& bf16) {
  app.add_flag(
      "--bf16", bf16,
      "Multiply numbers rounded to bfloat16, if the program is built for a processor that can: faster");
}

/// Parses the command line and runs `body`. Returns the exit status: 0, or 1 if `body` failed, or 2 if the
/// command line is wrong; a failure prints one sentence.
template <class Body>
int run(CLI::App& app, int argc, char** argv, const Body& body) {
  const auto failed = [&](const std::string& sentence, int status) {
    std::cerr << app.get_name() << ": " << sentence << '\n';
    return status;
  };
  std::ios::sync_with_stdio(false);
  try {
    app.parse(argc, argv);
    if (const qcnet::Result<void> done = body(); !done) return failed(done.error().message(), 1);
    if (!std::cout.flush()) return failed("stdout: cannot be written", 1);
    return 0;
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return failed(std::string(error.what()) + " (see --help)", 2);
  } catch (const std::bad_alloc&) {
    return failed("there is not enough memory", 1);
  } catch (const std::exception& error) {
    return failed(error.what(), 1);
  }
}

}  // namespace examples

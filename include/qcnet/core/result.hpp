// Errors that a user can act on: Result<T> is a value or an Error with a sentence.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <qcnet/core/config.hpp>

namespace qcnet::inline QCNET_ABI {

/// What went wrong, as one sentence that says where and what ("layer1.0.conv2.weight: expected ..., found
/// ...").
class Error {
 public:
  explicit Error(std::string message) : message_(std::move(message)) {}
  const std::string& message() const { return message_; }

  /// The same error seen from one step further out: "<where>: <message>".
  Error in(const std::string& where) const { return Error(where + ": " + message_); }

 private:
  std::string message_;
};

/// Throws std::runtime_error where exceptions exist; elsewhere prints the sentence and aborts.
[[noreturn]] inline void raise(const Error& error) {
#if defined(__cpp_exceptions)
  throw std::runtime_error(error.message());
#else
  std::fprintf(stderr, "qcnet: %s\n", error.message().c_str());
  std::abort();
#endif
}

/// A value of type T, or the Error that prevented it. `T` may be void.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }

  /// The value; raises the error if there is none. That of a temporary is moved out, not referred to, so that
  /// `for (auto box : server.detect(frame).value())` is no loop over something gone.
  T& value() & { return check(), *value_; }
  const T& value() const& { return check(), *value_; }
  T value() && { return check(), *std::move(value_); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// The error; only to be called when `!ok()`.
  const Error& error() const { return error_; }

 private:
  void check() const {
    if (!ok()) raise(error());
  }
  // Not a variant, which costs every user of the library more time to compile.
  std::optional<T> value_;
  Error error_{std::string()};
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  void value() const {
    if (!ok_) raise(error_);
  }
  const Error& error() const { return error_; }

 private:
  Error error_{std::string()};
  bool ok_ = true;
};

}  // namespace qcnet::inline QCNET_ABI

// Unwraps a Result inside a function that itself returns a Result: QCNET_TRY(auto x, load(path)).
// The first parameter declares the variable, without commas; on error the error is returned.
#define QCNET_TRY(declaration, expression) \
  QCNET_TRY_(declaration, expression, QCNET_CONCAT(qcnet_try_, __LINE__))
#define QCNET_TRY_(declaration, expression, name) \
  auto&& name = (expression);                     \
  if (!name.ok()) return name.error();            \
  declaration = std::move(name).value()

// The same for an expression whose value is not needed (Result<void> above all).
#define QCNET_CHECK(expression) QCNET_CHECK_(expression, QCNET_CONCAT(qcnet_check_, __LINE__))
#define QCNET_CHECK_(expression, name) \
  if (auto&& name = (expression); !name.ok()) return name.error()

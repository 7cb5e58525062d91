// Element types of stored tensors and their conversion to float.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <qcnet/core/endian.hpp>
#include <qcnet/core/result.hpp>

namespace qcnet::inline QCNET_ABI::io {

enum class Dtype { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

namespace detail {
struct DtypeFacts {
  std::string_view name;  // as safetensors writes it
  std::size_t bytes;
};
inline constexpr DtypeFacts dtype_facts[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                                             {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},  {"U32", 4},
                                             {"U16", 2}, {"U8", 1},  {"BOOL", 1}};
}  // namespace detail

inline std::string_view dtype_name(Dtype dtype) {
  return detail::dtype_facts[static_cast<int>(dtype)].name;
}
inline std::size_t dtype_bytes(Dtype dtype) {
  return detail::dtype_facts[static_cast<int>(dtype)].bytes;
}

/// The type of that safetensors name, if it is one of ours.
inline std::optional<Dtype> dtype_named(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Dtype::boolean); ++i)
    if (detail::dtype_facts[i].name == name) return static_cast<Dtype>(i);
  return std::nullopt;
}

/// IEEE 754 binary16 to float: exact, NaN payloads and the sign of zero included.
inline float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t{half & 0x8000u} << 16;
  const std::uint32_t exponent = half >> 10 & 0x1Fu;
  const std::uint32_t mantissa = half & 0x3FFu;
  std::uint32_t bits;
  if (exponent == 0)  // subnormal halves are normal floats: mantissa * 2^-24
    bits = std::bit_cast<std::uint32_t>(static_cast<float>(mantissa) * 0x1p-24f);
  else
    bits = (exponent == 31 ? 0xFFu : exponent + 127 - 15) << 23 | mantissa << 13;
  return std::bit_cast<float>(sign | bits);
}

/// bfloat16 to float: the upper half of a float, so exact.
inline float bfloat16_to_float(std::uint16_t value) {
  return std::bit_cast<float>(std::uint32_t{value} << 16);
}

/// Converts stored elements to float; `data` holds `out.size()` of them, at any address. Non-finite values
/// pass. Error: a type other than F32, F16, BF16 and I64, or an I64 that no float equals (silently rounding
/// what was stored as a whole number would be a surprise).
inline Result<void> to_float_into(Dtype dtype, std::span<const std::byte> data, std::span<float> out) {
  const std::byte* from = data.data();
  if (dtype == Dtype::f32) {
    if (!out.empty()) std::memcpy(out.data(), from, out.size_bytes());
  } else if (dtype == Dtype::f16) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = half_to_float(load_le<std::uint16_t>(from + 2 * i));
  } else if (dtype == Dtype::bf16) {
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = bfloat16_to_float(load_le<std::uint16_t>(from + 2 * i));
  } else if (dtype == Dtype::i64) {
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto value = load_le<std::int64_t>(from + 8 * i);
      out[i] = static_cast<float>(value);
      // A value that rounds up to 2^63 would not convert back, so that bound comes first.
      if (out[i] >= 0x1p63f || static_cast<std::int64_t>(out[i]) != value)
        return Error("element " + std::to_string(i) + " is " + std::to_string(value) +
                     ", which no float equals");
    }
  } else {
    return Error("its elements are " + std::string(dtype_name(dtype)) +
                 "; only F32, F16, BF16 and I64 can be read as float");
  }
  return {};
}

}  // namespace qcnet::inline QCNET_ABI::io

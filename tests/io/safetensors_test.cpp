#include "files.hpp"

#include <bit>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/io/safetensors.hpp>

#include <doctest/doctest.h>

using qcnet::Shape;
using qcnet::io::Dtype;
using qcnet::io::Safetensors;

namespace {

const std::string corpus = QCNET_TEST_DATA "/corpus/safetensors/";

Safetensors good(const std::string& name) {
  return Safetensors::open(corpus + "good_" + name + ".safetensors").value();
}

std::vector<std::uint32_t> bits_of(const qcnet::Tensor& tensor) {
  std::vector<std::uint32_t> bits;
  for (const float value : tensor.span()) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

std::string with_header(const std::string& header, const std::string& data = "") {
  std::string file(8, '\0');
  qcnet::store_le(file.data(), std::uint64_t{header.size()});
  return file + header + data;
}

/// Every file bad_*.safetensors of the corpus (tests/corpus/make.py) and what its error must say.
const std::map<std::string, std::string> bad_files = {
    {"data_cut", "w: data_offsets [0, 4] are no part of the file's 3 bytes of data"},
    {"dtype_lower_case", "w: dtype 'f32' is not supported"},
    {"dtype_number", "w: expected '\"' at byte 14 of the header"},
    {"dtype_unknown", "w: dtype 'F8_E4M3' is not supported"},
    {"empty_inside_another", "b: its data begin at 2, but the data before end at 4"},
    {"gap_at_start", "w: its data begin at 4, but the data before end at 0"},
    {"gap_between", "b: its data begin at 8, but the data before end at 4"},
    {"length_above_limit",
     "is no safetensors file, or is cut off: its header claims 100000001 bytes, but 2 are possible"},
    {"length_beyond_file",
     "is no safetensors file, or is cut off: its header claims 3 bytes, but 2 are possible"},
    {"length_cuts_header", "expected '}' at byte 53 of the header"},
    {"length_largest",
     "is no safetensors file, or is cut off: its header claims 18446744073709551615 bytes, but 2 are "
     "possible"},
    {"length_wraps",
     "is no safetensors file, or is cut off: its header claims 18446744073709551612 bytes, but 2 are "
     "possible"},
    {"length_zero", "the header does not begin with '{'"},
    {"metadata_list", "__metadata__: expected '{' at byte 16 of the header"},
    {"metadata_null", "__metadata__: expected '{' at byte 16 of the header"},
    {"metadata_number", "__metadata__: expected '\"' at byte 21 of the header"},
    {"missing_dtype", "w: dtype, shape or data_offsets is missing"},
    {"missing_offsets", "w: dtype, shape or data_offsets is missing"},
    {"missing_shape", "w: dtype, shape or data_offsets is missing"},
    {"nested_arrays", "w: expected '{' at byte 5 of the header"},
    {"nested_metadata", "__metadata__: expected '\"' at byte 21 of the header"},
    {"nested_objects", "w: expected '[' at byte 14 of the header"},
    {"nested_shape", "w: not a non-negative whole number at byte 29 of the header"},
    {"no_bytes", "0 bytes are too few for a safetensors file"},
    {"offsets_backwards", "w: data_offsets [4, 0] are no part of the file's 4 bytes of data"},
    {"offsets_beyond_file", "w: data_offsets [0, 8] are no part of the file's 4 bytes of data"},
    {"offsets_empty_beyond_file", "w: data_offsets [1000, 1000] are no part of the file's 4 bytes of data"},
    {"offsets_empty_far_beyond_file",
     "w: data_offsets [18446744073709551615, 18446744073709551615] are no part of the file's 4 bytes of "
     "data"},
    {"offsets_negative", "w: not a non-negative whole number at byte 48 of the header"},
    {"offsets_nine", "w: data_offsets has more than 8 numbers"},
    {"offsets_none", "w: data_offsets has 0 numbers, not 2"},
    {"offsets_one", "w: data_offsets has 1 numbers, not 2"},
    {"offsets_three", "w: data_offsets has 3 numbers, not 2"},
    {"offsets_wrap", "w: data_offsets [18446744073709551612, 0] are no part of the file's 4 bytes of data"},
    {"overlap", "b: its data begin at 4, but the data before end at 8"},
    {"same_span_100_times", "t1: its data begin at 0, but the data before end at 1"},
    {"seven_bytes", "7 bytes are too few for a safetensors file"},
    {"shape_above_64_bits", "w: a number above 2^64 - 1 at byte 48 of the header"},
    {"shape_bytes_wrap", "w: the product of the dimensions of a shape is too large for this machine"},
    {"shape_comma_at_end", "w: not a non-negative whole number at byte 31 of the header"},
    {"shape_eight_dims_beyond_file", "w: data_offsets [0, 400] are no part of the file's 4 bytes of data"},
    {"shape_exponent", "w: not a non-negative whole number at byte 30 of the header"},
    {"shape_fraction", "w: not a non-negative whole number at byte 30 of the header"},
    {"shape_hex", "w: expected ']' at byte 30 of the header"},
    {"shape_leading_zero", "w: not a non-negative whole number at byte 31 of the header"},
    {"shape_minus_zero", "w: not a non-negative whole number at byte 29 of the header"},
    {"shape_negative", "w: not a non-negative whole number at byte 29 of the header"},
    {"shape_nine_dims", "w: shape has more than 8 numbers"},
    {"shape_null", "w: expected '[' at byte 28 of the header"},
    {"shape_number", "w: expected '[' at byte 28 of the header"},
    {"shape_one_point_zero", "w: not a non-negative whole number at byte 30 of the header"},
    {"shape_plus", "w: not a non-negative whole number at byte 29 of the header"},
    {"shape_string", "w: not a non-negative whole number at byte 29 of the header"},
    {"shape_true", "w: not a non-negative whole number at byte 29 of the header"},
    {"shape_two_negatives", "w: not a non-negative whole number at byte 29 of the header"},
    {"shape_wraps_beside_zero", "w: the product of the dimensions of a shape is too large for this machine"},
    {"shape_wraps_to_zero", "w: the product of the dimensions of a shape is too large for this machine"},
    {"span_other_type", "w: data_offsets [0, 4] do not span the 2 bytes of F16 [1]"},
    {"span_too_long", "w: data_offsets [0, 4] do not span the 0 bytes of F32 [0]"},
    {"span_too_short", "w: data_offsets [0, 4] do not span the 8 bytes of F32 [2]"},
    {"text_after_end", "the header goes on after its closing '}'"},
    {"text_array", "the header does not begin with '{'"},
    {"text_comma_at_end", "expected '\"' at byte 54 of the header"},
    {"text_escape_at_end", "unknown escape at byte 3 of the header"},
    {"text_leading_space", "the header does not begin with '{'"},
    {"text_lone_high_surrogate", "half a surrogate pair at byte 8 of the header"},
    {"text_lone_low_surrogate", "half a surrogate pair at byte 8 of the header"},
    {"text_newline_after_end", "the header goes on after its closing '}'"},
    {"text_newline_in_string", "control character in a string at byte 4 of the header"},
    {"text_no_colon", "expected ':' at byte 5 of the header"},
    {"text_no_comma", "expected '}' at byte 54 of the header"},
    {"text_open_string", "a string that does not end at byte 3 of the header"},
    {"text_short_hex", "a \\u escape without four hex digits at byte 6 of the header"},
    {"text_single_quotes", "expected '\"' at byte 1 of the header"},
    {"text_two_high_surrogates", "half a surrogate pair at byte 14 of the header"},
    {"text_two_objects", "the header goes on after its closing '}'"},
    {"text_unknown_escape", "unknown escape at byte 4 of the header"},
    {"text_zero_byte", "control character in a string at byte 4 of the header"},
    {"trailing_byte", "1 bytes at the end of the file belong to no tensor"},
    {"trailing_without_tensors", "1 bytes at the end of the file belong to no tensor"},
    {"twice_dtype", "w: field 'dtype' is unknown or appears twice"},
    {"twice_metadata", "__metadata__: appears twice"},
    {"twice_metadata_key", "__metadata__: a key appears twice"},
    {"twice_shape", "w: field 'shape' is unknown or appears twice"},
    {"twice_tensor", "w: appears twice"},
    {"twice_tensor_escaped", "w: appears twice"},
    {"unknown_field", "w: field 'strides' is unknown or appears twice"},
    {"utf8_above_range", "the header is not UTF-8"},
    {"utf8_cut", "the header is not UTF-8"},
    {"utf8_escape_codes", "?[31mred: expected '{' at byte 17 of the header"},
    {"utf8_overlong", "the header is not UTF-8"},
    {"utf8_overlong_three", "the header is not UTF-8"},
    {"utf8_stray_byte", "the header is not UTF-8"},
    {"utf8_surrogate", "the header is not UTF-8"},
};

}  // namespace

TEST_CASE("safetensors: every bad file of the corpus is refused with its own reason") {
  std::set<std::string> seen;
  for (const auto& file : std::filesystem::directory_iterator(corpus)) {
    const std::string name = file.path().stem().string();
    if (!name.starts_with("bad_")) continue;
    CAPTURE(name);
    seen.insert(name.substr(4));
    const auto reason = bad_files.find(name.substr(4));
    REQUIRE(reason != bad_files.end());
    const auto opened = Safetensors::open(file.path().string());
    REQUIRE_FALSE(opened.ok());
    CHECK(opened.error().message() == file.path().string() + ": " + reason->second);
    const std::string content = read_file(file.path().string());
    CHECK(Safetensors::parse(as_bytes(content)).error().message() == reason->second);
  }
  CHECK(seen.size() == bad_files.size());
}

TEST_CASE("safetensors: every truncation of a good file is refused") {
  const std::string content = read_file(corpus + "good_unaligned.safetensors");
  REQUIRE(Safetensors::parse(as_bytes(content)).ok());
  for (std::size_t size = 0; size < content.size(); ++size)
    REQUIRE_FALSE(Safetensors::parse(as_bytes(content).first(size)).ok());
}

TEST_CASE("safetensors: a missing file, tensor or type, a wrong shape: one sentence") {
  CHECK(Safetensors::open("/no/such/file").error().message() ==
        "/no/such/file: cannot be opened: No such file or directory");
  const Safetensors file = good("unaligned");
  CHECK(file.tensor("float").error().message() == "float: there is no such tensor");
  CHECK(file.tensor("floats", Shape{2, 3}).error().message() ==
        "floats: expected shape [2, 3], found [2, 2]");
  CHECK(file.tensor("byte").error().message() ==
        "byte: its elements are U8; only F32, F16, BF16 and I64 can be read as float");
  CHECK(file.find("float") == nullptr);
  CHECK(file.bytes("float").error().message() == "float: there is no such tensor");
  CHECK(file.bytes("floats").error().message() == "floats: expected elements of type U8, found F32");
}

TEST_CASE("safetensors: bytes where they lie") {
  const std::string header = R"({"w":{"dtype":"U8","shape":[2,3],"data_offsets":[0,6]}})";
  const std::string content = with_header(header, std::string("\x00\x01\x7F\x80\xFE\xFF", 6));
  const auto bytes = Safetensors::parse(as_bytes(content)).value().bytes("w").value();
  CHECK(std::ranges::equal(bytes, std::vector<std::uint8_t>{0, 1, 127, 128, 254, 255}));
}

TEST_CASE("safetensors: empty, scalar, zero-size and eight-dimensional") {
  CHECK(good("empty").tensors().empty());
  CHECK(good("padded").tensors().size() == 1);
  const auto scalar = good("scalar").tensor("w", Shape{}).value();
  CHECK(scalar.span().size() == 1);
  CHECK(scalar[0] == 2.5f);
  CHECK(good("eight_dims").tensor("w", Shape{1, 1, 1, 1, 1, 1, 1, 1}).ok());
  if (Shape::max_elements < std::uint64_t{1} << 32) return;  // else "d" of the next is no shape
  const Safetensors zero_size = good("zero_size");
  CHECK(zero_size.tensor("a", Shape{0}).value().span().empty());
  CHECK(zero_size.tensor("b", Shape{2, 0, 3}).value().span().empty());
  CHECK(zero_size.tensor("c").value()[0] == 1.0f);
  CHECK(zero_size.find("d")->shape.dims()[1] == std::uint64_t{1} << 32);
}

TEST_CASE("safetensors: data at any address") {
  const Safetensors file = good("unaligned");
  CHECK(file.find("byte")->dtype == Dtype::u8);
  CHECK(std::ranges::equal(file.tensor("floats", Shape{2, 2}).value().span(),
                           std::vector{1.0f, -2.0f, 3.5f, 1e-3f}));
  CHECK(std::ranges::equal(file.tensor("halves").value().span(), std::vector{1.0f, 2.0f, -0.5f}));
  CHECK(std::ranges::equal(file.tensor("longs").value().span(), std::vector{5.0f, -6.0f}));
}

TEST_CASE("safetensors: floats to the bit, zeros, subnormals, infinities and NaN included") {
  CHECK(bits_of(good("f32").tensor("w").value()) ==
        std::vector<std::uint32_t>{1, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0x7F7FFFFF});
  CHECK(bits_of(good("f16").tensor("w").value()) ==
        std::vector<std::uint32_t>{0, 0x80000000, 0x33800000, 0xB3800000, 0x387FC000, 0x38800000, 0x3F800000,
                                   0xC0000000, 0x477FE000, 0x7F800000, 0xFF800000, 0x7FC02000});
  CHECK(bits_of(good("bf16").tensor("w").value()) ==
        std::vector<std::uint32_t>{0, 0x80000000, 0x10000, 0x3F800000, 0xC0490000, 0x7F7F0000, 0x7F800000,
                                   0xFF800000, 0x7FC10000});
}

TEST_CASE("safetensors: whole numbers") {
  const Safetensors file = good("i64");
  CHECK(std::ranges::equal(file.tensor("exact").value().span(),
                           std::vector{0.0f, -1.0f, 0x1p24f, -0x1p24f, 0x1p62f, -0x1p63f}));
  CHECK(file.tensor("odd").error().message() == "odd: element 1 is 16777217, which no float equals");
  CHECK_FALSE(file.tensor("largest").ok());
}

TEST_CASE("safetensors: all types are known") {
  const Safetensors file = good("types");
  CHECK(file.tensors().size() == 13);
  for (const auto& [name, info] : file.tensors()) CHECK(qcnet::io::dtype_name(info.dtype) == name);
}

TEST_CASE("safetensors: metadata, escapes and fields in any order") {
  const Safetensors file = good("text");
  CHECK(file.find("\xC3\xA9\xF0\x9F\x98\x80\n/") != nullptr);
  CHECK(file.metadata().size() == 2);
  CHECK(file.metadata("k\xC3\xA9y") == "\"v\"");
  CHECK(file.metadata("") == "");
  CHECK(file.metadata("key") == std::nullopt);
}

TEST_CASE("safetensors: moves keep tensors, bytes and mapping valid") {
  Safetensors first = good("unaligned");
  const qcnet::io::TensorInfo* info = first.find("floats");
  const Safetensors second = std::move(first);
  CHECK(second.find("floats") == info);
  CHECK(second.tensor("floats").value()[2] == 3.5f);
  first = good("scalar");
  CHECK(first.tensor("w").value()[0] == 2.5f);
}

TEST_CASE("safetensors: a file cut after it was opened gives an error, not a dead process") {
  const std::string header = R"({"w":{"dtype":"F32","shape":[100000],"data_offsets":[0,400000]}})";
  const TemporaryFile file("cut", with_header(header, std::string(400000, '\0')));
  const Safetensors opened = Safetensors::open(file.path).value();
  CHECK(opened.tensor("w").ok());
  std::filesystem::resize_file(file.path, 5000);
  CHECK(opened.tensor("w").error().message().find("w: the file was cut from 400") == 0);
  CHECK(opened.bytes("w").error().message().find("w: the file was cut from 400") == 0);
  CHECK_FALSE(opened.check_size().ok());
}

TEST_CASE("safetensors: 100,000 tensors on one span are refused in no time") {
  std::string header = "{";
  for (int i = 0; i < 100000; ++i)
    header += "\"t" + std::to_string(i) + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)";
  header.back() = '}';
  const std::string file = with_header(header, "x");
  const auto start = std::chrono::steady_clock::now();
  CHECK(Safetensors::parse(as_bytes(file)).error().message() ==
        "t1: its data begin at 0, but the data before end at 1");
  CHECK(std::chrono::steady_clock::now() - start <
        std::chrono::seconds(20));  // even under sanitizers and qemu
}

TEST_CASE("safetensors: endless names are cut in messages") {
  const std::string file = with_header("{\"" + std::string(100000, 'n') + "\":1}");
  CHECK(Safetensors::parse(as_bytes(file)).error().message().size() < 300);
}

TEST_CASE("safetensors: messages hold no control characters, and names in any language") {
  using qcnet::io::detail::printable;
  for (const char* name :
       {"layer1.0.conv1", "Gro\xC3\x9F", "\xC2\xA0\xC2\xBF", "\xE7\x8C\xAB", "\xF0\x9F\x90\xB1"})
    CHECK(printable(name) == name);
  CHECK(printable("a\x1b[2Jb\x7F\n") == "a?[2Jb??");
  CHECK(printable("a\xC2\x9B"
                  "2J\xC2\x80\xC2\x9F") == "a?2J??");  // CSI in two bytes
  // What is cut is cut between characters.
  const std::string most(198, 'n');
  CHECK(printable(most + "\xC3\x9F") == most + "\xC3\x9F");
  CHECK(printable(most + "\xC3\x9Fn") == most + "\xC3\x9F...");
  CHECK(printable(most + "\xE7\x8C\xAB") == most + "...");
}

namespace {
template <class Bytes>
concept Parsed = requires(Bytes&& bytes) {
  Safetensors::parse(std::forward<Bytes>(bytes));
};
}  // namespace

TEST_CASE("safetensors: not of a vector that nobody keeps") {
  static_assert(Parsed<std::vector<std::byte>&> && Parsed<std::span<const std::byte>>);
  static_assert(!Parsed<std::vector<std::byte>>);
}

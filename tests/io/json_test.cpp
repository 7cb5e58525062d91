#include <string>
#include <string_view>
#include <vector>

#include <qcnet/io/json.hpp>

#include <doctest/doctest.h>

using qcnet::Result;
using qcnet::io::is_utf8;
using qcnet::io::JsonReader;

// What must be refused is in tests/corpus/safetensors; here is what must be read.

TEST_CASE("json: strings with every kind of escape") {
  const auto read = [](std::string_view text) { return JsonReader(text).string().value(); };
  CHECK(read(R"("")") == "");
  CHECK(read(R"( "a\"\\\/\b\f\n\r\tz")") == "a\"\\/\b\f\n\r\tz");
  CHECK(read(R"("\u0041\u007f\u0080\u07FF\u0800\uffff")") == "A\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xEF\xBF\xBF");
  CHECK(read(R"("\ud800\udc00\uDBFF\uDFFF")") == "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF");
  CHECK(read(R"("\u0000")") == std::string(1, '\0'));
  CHECK(read("\"\xC3\xA9\"") == "\xC3\xA9");
}

TEST_CASE("json: whole numbers up to 2^64 - 1") {
  const auto read = [](std::string_view text) { return JsonReader(text).integer(); };
  CHECK(read("0").value() == 0);
  CHECK(read(" 120 ").value() == 120);
  CHECK(read("18446744073709551615").value() == ~std::uint64_t{0});
  CHECK_FALSE(read("18446744073709551616").ok());
  CHECK_FALSE(read("99999999999999999999").ok());
  for (const char* text : {"", "-1", "-0", "+1", "1.0", "1e3", "1E3", "00", "01", "x", "\"1\"", "null"})
    CHECK_FALSE_MESSAGE(read(text).ok(), text);
}

TEST_CASE("json: any finite numbers") {
  const auto read = [](std::string_view text) { return JsonReader(text).number(); };
  CHECK(read("0").value() == 0);
  CHECK(read(" -87.4125]").value() == -87.4125);
  CHECK(read("2.5e-3,").value() == 0.0025);
  for (const char* text : {"", "-", "+1", "x", "\"1\"", "null", "nan", "inf", "-inf", "1e999"})
    CHECK_FALSE_MESSAGE(read(text).ok(), text);
  CHECK(JsonReader("x", "file").number().error().message() == "not a finite number at byte 0 of the file");
}

TEST_CASE("json: what nobody asks for is passed over") {
  const auto rest = [](std::string_view text) {
    JsonReader json(text);
    return json.skip().ok() ? std::string(json.rest()) : "refused";
  };
  CHECK(rest(" 1.5, 2") == ", 2");
  CHECK(rest("null}") == "}");
  CHECK(rest(R"("a]\"}" ])") == " ]");
  CHECK(rest("[]1") == "1");
  CHECK(rest(R"({"a": [1, {"b": null}], "c]": {}} , 2)") == " , 2");
  for (const char* text : {"", " ", ",", "]", "[", "{\"a\": [1}", "[\"a", "{\"a\": [1, 2]"})
    CHECK_MESSAGE(rest(text) == "refused", text);
  CHECK(rest(std::string(1000000, '[')) == "refused");
  CHECK(rest(std::string(1000000, '[') + std::string(1000000, ']')).empty());
}

TEST_CASE("json: objects and arrays") {
  JsonReader json("{ \"a\" : [ 1 ,2], \"b\":[], \"\": [\t3\n]\r} rest");
  std::string seen;
  const auto done = json.object([&](std::string&& key) -> Result<void> {
    seen += key + "(";
    return json.array([&]() -> Result<void> {
      QCNET_TRY(const std::uint64_t number, json.integer());
      seen += std::to_string(number) + (key == "b" ? "!" : ".");
      return {};
    });
  });
  CHECK(done.ok());
  CHECK(seen == "a(1.2.b((3.");
  CHECK(json.rest() == " rest");
}

TEST_CASE("json: the first error of a member stops the object and names the byte") {
  JsonReader json(R"({"a":1,"b":x,"c":3})");
  int members = 0;
  const auto done = json.object([&](std::string&&) -> Result<void> {
    ++members;
    QCNET_CHECK(json.integer());
    return {};
  });
  CHECK(members == 2);
  CHECK(done.error().message() == "not a non-negative whole number at byte 11 of the header");
}

TEST_CASE("json: UTF-8") {
  CHECK(is_utf8(""));
  CHECK(
      is_utf8("a\x7F\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF\xF0\x90\x80\x80\xF4\x8F"
              "\xBF\xBF"));
  for (const char* bad :
       {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC2", "\xC2z", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
        "\xED\xBF\xBF", "\xF0\x8F\xBF\xBF", "\xF0\x90\x80", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF"})
    CHECK_FALSE(is_utf8(bad));
}

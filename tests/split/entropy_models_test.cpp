#include "allocations.hpp"
#include "documented_model.hpp"
#include "files.hpp"
#include "support.hpp"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <qcnet/node.hpp>
#include <qcnet/split/frame.hpp>

#include <doctest/doctest.h>

using namespace qcnet;
using test::documented_model;
using test::loaded;

namespace {

std::string corpus_frame(const std::string& name) {
  return read_file(QCNET_TEST_DATA "/corpus/frame/" + name + ".frame");
}

std::string modeled_text(const Frame& frame) {
  return {reinterpret_cast<const char*>(frame.bytes().data()), frame.bytes().size()};
}

/// The same maps and numbers as in `frame`, sealed anew.
Frame remade_by(const Frame& frame, const EntropyModels& models) {
  std::vector<MapSpec> maps;
  for (std::size_t i = 0; i < frame.map_count(); ++i) maps.push_back({frame.name(i), frame.shape(i)});
  Frame made = Frame::make(frame.model_hash(), maps, models).value();
  std::ranges::copy(frame.all_bits(), made.all_bits().data());
  made.seal(frame.sequence(), frame.picture());
  return made;
}

std::string with_checksum(std::string text) {
  const auto body = as_bytes(text).first(text.size() - 4);
  store_le(text.data() + body.size(), crc32c(body));
  return text;
}

std::string models_error(const test::WeightsFile& file) {
  const auto models = file.with([](const io::Safetensors& weights) { return EntropyModels::load(weights); });
  return models.ok() ? std::string() : models.error().message();
}

}  // namespace

TEST_CASE("entropy_models: the test vector of docs/frame.md, and what make.py wrote without the C++ code") {
  const EntropyModels models = loaded(documented_model({{"layer2", 9}}));
  const std::string file = corpus_frame("modeled_one_map");
  CHECK(hex_blocks(QCNET_TEST_DATA "/../docs/frame.md").at(3) == file);
  const Frame frame = Frame::parse(as_bytes(file), {.models = &models}).value();
  CHECK(frame.modeled());
  CHECK(modeled_text(frame) == file);
  const Frame same =
      Frame::parse(as_bytes(corpus_frame("coded_one_map"))).value();  // the same bits without models
  CHECK_FALSE(same.modeled());
  CHECK(std::ranges::equal(frame.all_bits(), same.all_bits()));
  CHECK(modeled_text(remade_by(same, models)) == file);

  const EntropyModels several = loaded(documented_model({{"images", 12}, {"class", 20}}));
  const std::string maps = corpus_frame("modeled_maps");
  CHECK(modeled_text(remade_by(Frame::parse(as_bytes(maps), {.models = &several}).value(), several)) == maps);
}

TEST_CASE("entropy_models: a reader must have those of the node") {
  const test::WeightsFile good = documented_model({{"layer2", 9}});
  const std::string file = corpus_frame("modeled_one_map");
  const auto message = [&](const test::WeightsFile& other) {
    const EntropyModels models = loaded(other);
    return Frame::parse(as_bytes(file), {.models = &models}).error().message();
  };
  CHECK(Frame::parse(as_bytes(file)).error().message() ==
        "the frame's bits are coded by an entropy model: to read them takes the file that its node was given "
        "(.entropy.safetensors)");
  test::WeightsFile other = good;
  CHECK(message(other.set_metadata("qcnet.hash", "00000000000000aa")) ==
        "the entropy models are of another deployment: their hash is 00000000000000aa, the frame's "
        "0123456789abcdef");
  CHECK(message(documented_model({{"layer1", 9}})) == "there is no entropy model of map \"layer2\"");
  CHECK(message(documented_model({{"layer2", 8}})) ==
        "the entropy model of map \"layer2\" is of 8 channels, the map has 9");
  other = good;
  CHECK(message(other.poke("layer2.bias", 44, -181)) ==
        "the frame's bits were coded by another entropy model of this node: both sides need the same file");
  // What is not coded by a model does not need one.
  const EntropyModels models = loaded(good);
  CHECK(Frame::parse(as_bytes(corpus_frame("one_map")), {.models = &models}).ok());
}

TEST_CASE("entropy_models: hostile codes under a right checksum") {
  const EntropyModels models = loaded(documented_model({{"layer2", 9}}));
  const std::string good = corpus_frame("modeled_one_map");
  const std::size_t code_at = 28 + 24 + 4;
  const std::string header = good.substr(0, code_at), code = good.substr(code_at, good.size() - code_at - 4);
  const auto parsed = [&](const std::string& bytes) {
    return Frame::parse(as_bytes(with_checksum(header + bytes + "....")), {.models = &models});
  };
  REQUIRE(parsed(code).ok());
  const std::string not_one = "the frame's code is not the code of any bits";
  CHECK(parsed(code + '\0').error().message() == not_one);
  CHECK(parsed(std::string(27, '\xFF')).error().message() == not_one);
  for (const std::size_t size : {0u, 1u, 28u, 29u, 1000u})
    CHECK(parsed(std::string(size, 'x')).error().message() ==
          "the frame's code has " + std::to_string(size + 4) + " bytes; for 32 bytes of bits that cannot be");
  // A code that is not refused is the one code of its bits.
  std::size_t accepted = 0;
  const auto check = [&](const std::string& bytes) {
    const auto frame = parsed(bytes);
    accepted += frame.ok() ? 1 : 0;
    if (frame.ok())
      CHECK(modeled_text(remade_by(*frame, models)) == modeled_text(*frame));
    else
      CHECK(frame.error().message() == not_one);
  };
  for (std::size_t size = 2; size < code.size(); ++size) check(code.substr(0, size));
  for (std::size_t bit = 0; bit < code.size() * 8; ++bit) {
    std::string bad = code;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    check(bad);
  }
  CHECK(accepted < code.size() * 8);
  for (std::size_t size = code_at - 4; size < code_at + 2; ++size)  // within the model's checksum
    CHECK_FALSE(
        Frame::parse(as_bytes(with_checksum(good.substr(0, size) + "....")), {.models = &models}).ok());
}

TEST_CASE(
    "entropy_models: bits that a model makes no shorter are sent as they are; coding allocates nothing") {
  const EntropyModels models = loaded(documented_model({{"a", 16}, {"b", 1}}));
  const MapSpec maps[] = {{"a", {1, 8, 8, 16}}};
  Frame frame = Frame::make(0x0123456789ABCDEF, maps, models).value();
  std::uint32_t random = 1;
  for (std::uint8_t& byte : frame.all_bits()) {
    random = random * 1664525 + 1013904223;
    byte = static_cast<std::uint8_t>(random >> 24);
  }
  std::size_t before = allocations();
  frame.seal(1);
  CHECK(allocations() == before);
  CHECK_FALSE(frame.coded());
  CHECK(Frame::parse(frame.bytes()).ok());
  std::ranges::fill(frame.all_bits(), std::uint8_t{0xFF});
  before = allocations();
  frame.seal(2);
  CHECK(allocations() == before);
  CHECK(frame.modeled());
  CHECK(Frame::parse(frame.bytes(), {.models = &models}).value().sequence() == 2);
  // Of fewer bytes than a model's checksum there is nothing to gain.
  const MapSpec small[] = {{"b", {1, 1, 1, 1}}};
  Frame tiny = Frame::make(0x0123456789ABCDEF, small, models).value();
  tiny.seal(1);
  CHECK_FALSE(tiny.coded());
}

TEST_CASE("entropy_models: a node takes its own") {
  const Node node = Node::load(test::golden_path("tiny-layer2.node")).value();
  const auto map = node.deployment().frame_maps().at(0);
  test::WeightsFile file = documented_model({{map.name, map.shape.channels()}});
  CHECK(node.make_frame(loaded(file)).error().message().find("of another deployment") != std::string::npos);
  file.set_metadata("qcnet.hash", hash_text(node.deployment().hash));
  Frame frame = node.make_frame(loaded(file)).value();  // of a temporary: frames share what they need
  std::ranges::fill(frame.all_bits(), std::uint8_t{0});
  frame.seal(1);
  CHECK(frame.modeled());
}

TEST_CASE("entropy_models: a file that shrinks while it is read is an error, not a signal") {
  const TemporaryFile file("shrinks.entropy.safetensors", documented_model({{"layer2", 64}}).bytes());
  const io::Safetensors opened = io::Safetensors::open(file.path).value();
  std::filesystem::resize_file(file.path, 4096);
  CHECK(test::contains(EntropyModels::load(opened).error().message(), "was cut from"));
}

TEST_CASE("entropy_models: what is wrong with a file is said") {
  const test::WeightsFile good = documented_model({{"layer2", 9}});
  CHECK(models_error(good).empty());
  test::WeightsFile bad = good;
  CHECK(models_error(bad.set_metadata("qcnet.hash", "12")) ==
        "metadata \"qcnet.hash\" is not 16 hexadecimal digits; is this a file made by entropy.py?");
  CHECK(models_error(documented_model({})) ==
        "there is no entropy model: no tensor has a name that ends in \".bias\"");
  for (const char* name : {"neighbors", "weights", "own"}) {
    bad = good;
    CHECK(models_error(bad.drop({std::string("layer2.") + name})) ==
          "layer2." + std::string(name) + ": there is no such tensor");
  }
  bad = good;
  CHECK(models_error(bad.set_metadata("qcnet.role", "node")) ==
        "this is no file of entropy models: its metadata \"qcnet.role\" is \"node\", not \"entropy\"");
  bad = good;
  CHECK(models_error(bad.set("layer2.bias", {4, 9})).find("layer2.bias: expected shape [5, 9]") == 0);
  bad = good;
  CHECK(models_error(bad.set("layer2.bias", {45})) == "layer2.bias: expected 2 dimensions, found shape [45]");
  bad = good;
  CHECK(models_error(bad.set("\x1b[2J.bias", {5, 9})) == "?[2J.bias: there is no map of that name");
  bad = good;
  CHECK(models_error(bad.set("layer2.own", {9, 8})).find("layer2.own: expected shape [9, 9]") == 0);
  bad = good;
  CHECK(models_error(bad.poke("layer2.own", 1, 0.5f)) ==
        "layer2.own: must be whole numbers from -32767 to 32767, found 0.500000");
  bad = good;
  CHECK(models_error(bad.poke("layer2.weights", 1, 40000)) ==
        "layer2.weights: must be whole numbers from -32767 to 32767, found 40000.000000");
  bad = good;
  CHECK(models_error(bad.poke("layer2.weights", 1, std::numeric_limits<float>::quiet_NaN())).find("NaN") !=
        std::string::npos);
  bad = good;
  CHECK(models_error(bad.poke("layer2.neighbors", 1, 0)) ==
        "layer2: an entropy model's neighbor (0, 0) is not at most 2 rows and columns before");
  bad = good;
  CHECK(models_error(bad.set("layer2.bias", {5, 5000})) ==
        "layer2: an entropy model of 5000 channels and 2 neighbors is too large");
}

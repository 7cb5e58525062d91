// A node's or server's file that anyone may have changed: an Error, or something that runs. Mutations are of
// the header's numbers and words, since what else is changed would mostly be refused before a layer is made
// of it.
#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <qcnet/qcnet.hpp>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

constexpr std::size_t length_bytes = 8;

struct Word {
  std::size_t at, size;
};

/// Numbers, and what stands between quotes or spaces there.
std::vector<Word> words_of(const std::string& header) {
  std::vector<Word> words;
  const auto inside = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || std::strchr("._-", c) != nullptr;
  };
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (!inside(header[i])) continue;
    const std::size_t begin = i;
    while (i < header.size() && inside(header[i])) ++i;
    words.push_back({begin, i - begin});
  }
  return words;
}

void change_word(std::string& header, std::minstd_rand& random) {
  const std::vector<Word> words = words_of(header);
  if (words.empty()) return;
  const auto any = [&](std::size_t count) { return random() % count; };
  const Word word = words[any(words.size())];
  static const char* const numbers[] = {"0",  "1",   "2",    "3",     "7",          "8",
                                        "64", "255", "4096", "65536", "4294967295", "18446744073709551615",
                                        "-1", "1e9", "nan",  ""};
  const Word other = words[any(words.size())];
  const std::string with =
      any(2) == 0 ? numbers[any(std::size(numbers))] : header.substr(other.at, other.size);
  header.replace(word.at, word.size, with);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned int seed) {
  std::minstd_rand random(seed);
  std::uint64_t length = 0;
  if (size > length_bytes) std::memcpy(&length, data, length_bytes);
  if (size <= length_bytes || length > size - length_bytes || random() % 4 == 0)
    return LLVMFuzzerMutate(data, size, most);
  std::string header(reinterpret_cast<const char*>(data) + length_bytes, length);
  const std::vector<std::uint8_t> rest(data + length_bytes + length, data + size);
  for (auto changes = random() % 3 + 1; changes > 0; --changes) change_word(header, random);
  if (length_bytes + header.size() + rest.size() > most) return size;
  length = header.size();
  std::memcpy(data, &length, length_bytes);
  std::ranges::copy(header, data + length_bytes);
  std::ranges::copy(rest, data + length_bytes + header.size());
  return length_bytes + header.size() + rest.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = qcnet::io::Safetensors::parse(std::as_bytes(std::span(data, size)));
  if (!file.ok()) return 0;
  for (const qcnet::Verify verify : {qcnet::Verify::yes, qcnet::Verify::no}) {
    if (auto node = qcnet::Node::load(*file, verify); node.ok()) {
      qcnet::Frame frame = node->make_frame();
      const qcnet::Tensor input(node->head().input_shape());
      if (!node->encode_into(input.view(), frame, {1, 1}).ok()) std::abort();
      if (!qcnet::Frame::parse(frame.bytes()).ok()) std::abort();
    }
    if (auto server = qcnet::Server::load(*file, {.verify = verify}); server.ok()) {
      auto frame = qcnet::Frame::make(server->deployment().hash, server->deployment().frame_maps());
      frame->seal(1, {1, 1});
      if (!server->decode(*frame).ok()) std::abort();
    }
  }
  return 0;
}

// What the library computes, as raw floats for parity.py to compare with PyTorch.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include <qcnet/models/model.hpp>
#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

namespace {

using namespace qcnet;

void write(const std::string& path, std::span<const float> values) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
}

Tensor read(const std::string& path, const Shape& shape) {
  Tensor tensor(shape);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(tensor.data()),
                 static_cast<std::streamsize>(tensor.span().size_bytes())))
    raise(Error(path + ": shorter than " + shape.to_string()));
  return tensor;
}

/// Tensor i of several as `<path>.<i>`.
void write(const std::string& path, const std::vector<Tensor>& tensors) {
  for (std::size_t i = 0; i < tensors.size(); ++i) write(path + "." + std::to_string(i), tensors[i].span());
}

/// Outputs whole; for every cut the features, and the outputs of the two halves.
void model(const std::string& weights, const std::string& input_path, const Shape& shape,
           const std::string& out) {
  const Network network = models::load(io::Safetensors::open(weights).value()).value();
  const Tensor picture = read(input_path, shape);
  const ConstTensorView input[] = {picture};
  write(out + "/output", network.run(input).value());
  for (const Network::Cut& cut : network.cuts()) {
    const auto [head, tail] = network.partition_at(cut.name).value();
    const std::vector<Tensor> features = head.run(input).value();
    write(out + "/features." + cut.name, features);
    const std::vector<ConstTensorView> crossing(features.begin(), features.end());
    write(out + "/split." + cut.name, tail.run(crossing).value());
    std::cout << cut.name << '\n';
  }
}

/// For each of the inputs behind each other in a file: every map's packed bits and every server's outputs.
void deployment(const std::string& node_path, std::span<char*> servers, const std::string& inputs,
                const std::string& out) {
  Node node = Node::load(node_path).value();
  std::vector<Server> loaded;
  std::vector<std::ofstream> outputs;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    loaded.push_back(Server::load(servers[i]).value());
    for (std::size_t o = 0; o < loaded.back().tail().outputs(); ++o)
      outputs.emplace_back(out + "/outputs." + std::to_string(i) + "." + std::to_string(o), std::ios::binary);
  }
  const auto append = [](std::ofstream& to, const auto& values) {
    to.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  };
  std::ifstream file(inputs, std::ios::binary);
  Tensor input(node.head().input_shape());
  Frame frame = node.make_frame();
  std::vector<std::ofstream> bits;
  for (std::size_t map = 0; map < frame.map_count(); ++map)
    bits.emplace_back(out + "/bits." + std::to_string(map), std::ios::binary);
  while (file.read(reinterpret_cast<char*>(input.data()),
                   static_cast<std::streamsize>(input.span().size_bytes()))) {
    node.encode_into(input.view(), frame).value();
    const Frame received = Frame::parse(frame.bytes()).value();
    for (std::size_t map = 0; map < bits.size(); ++map) append(bits[map], received.bits(map).bytes());
    auto to = outputs.begin();
    for (Server& server : loaded) {
      server.decode(received).value();
      for (std::size_t o = 0; o < server.tail().outputs(); ++o) append(*to++, server.output(o).span());
    }
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const std::span<char*> arguments(argv, static_cast<std::size_t>(argc));
  if (argc == 8 && std::strcmp(argv[1], "model") == 0) {
    const auto number = [&](std::size_t i) { return static_cast<std::size_t>(std::atoll(arguments[i])); };
    model(argv[2], argv[3], {1, number(4), number(5), number(6)}, argv[7]);
  } else if (argc >= 6 && std::strcmp(argv[1], "deployment") == 0) {
    deployment(argv[2], arguments.subspan(5), argv[3], argv[4]);
  } else {
    std::cerr << "usage: parity model WEIGHTS INPUT H W C FOLDER\n"
                 "       parity deployment NODE INPUTS FOLDER SERVER...\n";
    return 2;
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "parity: " << error.what() << '\n';
  return 1;
}

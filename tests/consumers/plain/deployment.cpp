// A node and a server in one program, without exceptions or RTTI if so compiled.
#include <cstdio>

#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

namespace {

/// Prints an error; for programs that cannot throw.
template <class T>
bool failed(const qcnet::Result<T>& result) {
  if (!result.ok()) std::fprintf(stderr, "%s\n", result.error().message().c_str());
  return !result.ok();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  auto node = qcnet::Node::load(argv[1]);
  auto server = qcnet::Server::load(argv[2]);
  if (failed(node) || failed(server)) return 1;

  const qcnet::Tensor input(node->head().input_shape());
  qcnet::Frame sent = node->make_frame();
  if (failed(node->encode_into(qcnet::ConstTensorView(input), sent))) return 1;

  const auto received = qcnet::Frame::parse(sent.bytes());
  if (failed(received)) return 1;
  const auto logits = server->decode(*received);
  if (failed(logits)) return 1;
  for (const float logit : logits->span()) std::printf("%.4f ", static_cast<double>(logit));
  std::printf("\n");
  return 0;
}

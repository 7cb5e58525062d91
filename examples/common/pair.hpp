// A node and a server that belong together, in one process.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <qcnet/node.hpp>
#include <qcnet/server.hpp>

namespace examples {

inline qcnet::Result<void> check_pair(const qcnet::Node& node, const std::string& node_path,
                                      const qcnet::Server& server, const std::string& server_path) {
  if (node.deployment().hash != server.deployment().hash)
    return qcnet::Error(server_path + ": does not belong to " + node_path + ", their qcnet.hash differ");
  return {};
}

struct Pair {
  std::shared_ptr<qcnet::Node> node;
  std::shared_ptr<qcnet::Server> server;

  /// Error: a file is not what it should be, or they are of two deployments.
  static qcnet::Result<Pair> load(const std::string& node_path, const std::string& server_path,
                                  bool bf16 = false) {
    QCNET_TRY(auto node, qcnet::Node::load(node_path, qcnet::Verify::yes, {.fast = false, .bf16 = bf16}));
    QCNET_TRY(auto server, qcnet::Server::load(server_path, {.arithmetic = {.bf16 = bf16}}));
    QCNET_CHECK(check_pair(node, node_path, server, server_path));
    return Pair{std::make_shared<qcnet::Node>(std::move(node)),
                std::make_shared<qcnet::Server>(std::move(server))};
  }
};

}  // namespace examples

// The file with which a node and its server code bits in fewer bytes.
#pragma once

#include "program.hpp"

#include <optional>
#include <string>

#include <qcnet/split/deployment.hpp>
#include <qcnet/split/entropy_models.hpp>

namespace examples {

inline CLI::Option* add_entropy_option(CLI::App& app, std::string& path, const std::string& what) {
  return app.add_option("--entropy-model", path, what + " (.entropy.safetensors)")->check(named());
}

/// Those in the file at `path`, if there is one, for the files of `deployment`.
inline qcnet::Result<std::optional<qcnet::EntropyModels>> open_entropy_models(
    const std::string& path, const qcnet::Deployment& deployment) {
  std::optional<qcnet::EntropyModels> models;
  if (path.empty()) return models;
  QCNET_TRY(models, qcnet::EntropyModels::load(path));
  if (models->model_hash() != deployment.hash)
    return qcnet::Error(path + ": was trained for frames of another node, its qcnet.hash is " +
                        qcnet::hash_text(models->model_hash()) + ", not " +
                        qcnet::hash_text(deployment.hash));
  return models;
}

}  // namespace examples

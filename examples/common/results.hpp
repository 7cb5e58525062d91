// What `evaluate --json` measured.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <qcnet/io/json.hpp>
#include <qcnet/io/safetensors.hpp>

namespace examples {

/// Accuracy of the methods of one cut, in percent; of a detector mAP@0.5.
struct Results {
  std::string model, cut;
  std::map<std::string, double> accuracy;  ///< "unpartitioned", "qcnet", ...

  static qcnet::Result<Results> read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::error_code error;
    if (!file || std::filesystem::is_directory(path, error)) return qcnet::Error(path + ": cannot be opened");
    auto results = parse(std::string(std::istreambuf_iterator<char>(file), {}));
    if (!results) return results.error().in(path);
    return results;
  }

  /// Error: this is not JSON, says nothing of a model, a cut and methods, or is of a link that loses packets.
  static qcnet::Result<Results> parse(const std::string& text) {
    if (!qcnet::io::is_utf8(text)) return qcnet::Error("is not UTF-8");
    qcnet::io::JsonReader json(text, "file");
    Results results;
    QCNET_CHECK(json.object([&](std::string&& key) -> qcnet::Result<void> {
      if (key == "rows") return json.array([&] { return results.read_row(json); });
      if (key == "loss")
        return qcnet::Error("was measured with lost packets (evaluate --packet-loss); measure it without");
      if (key != "model" && key != "cut") return json.skip();
      QCNET_TRY(const std::string name, json.string());
      (key == "cut" ? results.cut : results.model) = qcnet::io::detail::printable(name);
      return {};
    }));
    if (results.model.empty() || results.cut.empty() || results.accuracy.empty())
      return qcnet::Error("holds no results of evaluate --json");
    return results;
  }

 private:
  qcnet::Result<void> read_row(qcnet::io::JsonReader& json) {
    std::string method;
    std::optional<double> percent;
    QCNET_CHECK(json.object([&](std::string&& key) -> qcnet::Result<void> {
      if (key == "method") {
        QCNET_TRY(method, json.string());
      } else if (key == "accuracy" || key == "mAP@0.5") {
        QCNET_TRY(percent, json.number());
      } else {
        return json.skip();
      }
      return {};
    }));
    if (!percent) return {};
    if (!(*percent >= 0 && *percent <= 100))
      return qcnet::Error("says that \"" + qcnet::io::detail::printable(method) + "\" is right in " +
                          std::to_string(*percent) + " percent");
    accuracy[method] = *percent;
    return {};
  }
};

}  // namespace examples

#include "../../examples/common/results.hpp"

#include "files.hpp"

#include <string>

#include <doctest/doctest.h>

using examples::Results;

TEST_CASE("Results of a classifier and of a detector, as evaluate writes them") {
  const auto classifier = Results::parse(R"({"model": "resnet", "cut": "layer1", "pictures": 9,
 "bytes": {"raw": 3072, "compressed": 1044},
 "rows": [
  {"method": "unpartitioned", "accuracy": 87.9200, "node_ms": 0.13, "server_ms": 0.04},
  {"method": "qcnet", "accuracy": 86.4, "node_ms": 0.13, "server_ms": 0.08}
 ]})")
                              .value();
  CHECK(classifier.model == "resnet");
  CHECK(classifier.cut == "layer1");
  CHECK(classifier.accuracy.size() == 2);
  CHECK(classifier.accuracy.at("unpartitioned") == 87.92);
  CHECK(classifier.accuracy.at("qcnet") == 86.4);

  const auto detector = Results::parse(R"({"rows": [{"method": "qcnet", "mAP@0.5": 88.05, "mAP@0.5:0.95": 50,
   "interval": [85.1, 91.2], "classes": {"RBC": 84.1, "}": null}}], "cut": "layers.5", "model": "yolo"})")
                            .value();
  CHECK(detector.accuracy.at("qcnet") == 88.05);
}

TEST_CASE("Names of results are fit for a terminal") {
  const auto results = Results::parse(R"({"model": "a\u001b[2Jb", "cut": "c\u0007",
 "rows": [{"method": "qcnet", "accuracy": 1}]})")
                           .value();
  CHECK(results.model == "a?[2Jb");
  CHECK(results.cut == "c?");
}

TEST_CASE("What are no results") {
  const auto problem = [](const std::string& text) { return Results::parse(text).error().message(); };
  CHECK(problem("") == "expected '{' at byte 0 of the file");
  CHECK(problem(R"({"model": 7})") == "expected '\"' at byte 10 of the file");
  CHECK(problem(R"({"model": "a", "cut": "b", "rows": [{"method": "c", "accuracy": "high"}]})") ==
        "not a finite number at byte 64 of the file");
  CHECK(problem(R"({"model": "a", "cut": "b", "rows": [{"method": "c", "accuracy": 250}]})") ==
        "says that \"c\" is right in 250.000000 percent");
  CHECK(problem("{\"\xFF\": 1}") == "is not UTF-8");
  CHECK(problem(R"({"model": "a", "cut": "b", "loss": 0.3, "rows": [{"method": "c", "accuracy": 1}]})") ==
        "was measured with lost packets (evaluate --packet-loss); measure it without");
  for (const char* text : {"{}", R"({"model": "a", "cut": "b", "rows": []})",
                           R"({"model": "a", "rows": [{"method": "c", "accuracy": 1}]})",
                           R"({"model": "a", "cut": "b", "rows": [{"method": "c"}]})"})
    CHECK(problem(text) == "holds no results of evaluate --json");
  CHECK(Results::read("no/such.json").error().message() == "no/such.json: cannot be opened");
  const TemporaryFile file("results.json", "{}");
  CHECK(Results::read(file.path).error().message() == file.path + ": holds no results of evaluate --json");
}

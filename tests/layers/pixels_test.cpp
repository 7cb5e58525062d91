#include "support.hpp"
#include "weights_file.hpp"

#include <cmath>
#include <limits>

#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/network.hpp>
#include <qcnet/layers/pixels.hpp>

using namespace qcnet;
using namespace qcnet::test;

TEST_CASE("normalized inputs become whole numbers again, halves the even one") {
  WeightsFile file;
  file.set("in.scale", {2}, {1.0f, 51.0f}).set("in.shift", {2}, {0.0f, 100.0f});
  const auto load = [](const io::Safetensors& from) { return Pixels::load(from, "in"); };
  Network network;
  network.add("in", file.with(load).value(), {Network::input});
  Tensor input({1, 1, 4, 2});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float values[] = {0.5f,  (37.0f - 100.0f) / 51.0f, 1.5f, (255.0f - 100.0f) / 51.0f,
                          -2.5f, -100.0f / 51.0f,          nan,  1e30f};
  std::copy(std::begin(values), std::end(values), input.data());
  const Tensor output = network(input).value();
  const float expected[] = {0.0f, 37.0f, 2.0f, 255.0f, -2.0f, 0.0f};
  for (std::size_t i = 0; i < std::size(expected); ++i) CHECK(output[i] == expected[i]);
  CHECK(std::isnan(output[6]));
  CHECK(output[7] == 4194304.0f);  // the most that is kept

  CHECK(contains(network(Tensor({1, 1, 4, 3})).error().message(), "expected one input [N, H, W, 2]"));
  CHECK(contains(file.set("in.shift", {3}).with(load).error().message(), "in.shift: expected shape [2]"));
  CHECK(contains(file.set("in.scale", {2, 1}).with(load).error().message(),
                 "in.scale: expected shape [channels]"));
}

TEST_CASE("pixels have a scale and a shift for each channel") {
  CHECK_THROWS_WITH(Pixels(Tensor({3}), Tensor({1})),
                    "pixels: a scale [3] and a shift [1] are not of the same channels");
}

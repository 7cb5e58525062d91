#include "support.hpp"

#include <array>

#include <qcnet/layers/depth_to_space.hpp>

using namespace qcnet;

TEST_CASE("a layer makes pixels of patches, and says what it cannot make any of") {
  const DepthToSpace layer(2);
  CHECK(layer.output_shape(std::array{Shape{3, 5, 1, 28}}).value() == Shape{3, 10, 2, 7});
  CHECK(DepthToSpace(1).output_shape(std::array{Shape{3, 5, 1, 7}}).value() == Shape{3, 5, 1, 7});
  const auto said = [](std::size_t patch, const Shape& input) {
    return DepthToSpace(patch).output_shape(std::array{input}).error().message();
  };
  CHECK(said(2, {1, 5, 1, 6}) == "expected one input [N, H, W, 4 C], found [1, 5, 1, 6]");
  CHECK(said(3, {5, 9}) == "expected one input [N, H, W, 9 C], found [5, 9]");
  CHECK(test::contains(said(0, {1, 5, 1, 6}), "expected one input"));
  CHECK(layer.output_shape({}).error().message() == "expected one input [N, H, W, 4 C]");
  CHECK_FALSE(layer.output_shape(std::array{Shape{1, 1, 1, 4}, Shape{1, 1, 1, 4}}).ok());

  const Tensor patches = test::random_tensor({1, 2, 3, 20}, 1);
  const ConstTensorView inputs[] = {patches};
  Tensor map({1, 4, 6, 5});
  layer.forward(inputs, map, {});
  // The patch in row 1, column 2; of it the pixel in row 1, column 0.
  for (std::size_t c = 0; c < 5; ++c)
    CHECK(map.view().pixel(3 * 6 + 4)[c] == patches.view().pixel(5)[10 + c]);
}

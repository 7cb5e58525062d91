#include "support.hpp"

#include <array>

#include <qcnet/layers/concat.hpp>
#include <qcnet/layers/pool.hpp>
#include <qcnet/layers/upsample.hpp>

using namespace qcnet;
using test::contains;

TEST_CASE("one pooling layer serves torch's and Darknet's padding") {
  const Shape input{1, 13, 12, 3};
  const MaxPool torch(ConvGeometry::square(2, 2)), darknet(ConvGeometry::darknet_pool(2, 2)),
      stride_1(ConvGeometry::darknet_pool(2, 1));
  CHECK(torch.output_shape(std::array{input}).value() == Shape{1, 6, 6, 3});
  CHECK(darknet.output_shape(std::array{input}).value() == Shape{1, 7, 6, 3});
  CHECK(stride_1.output_shape(std::array{input}).value() == input);

  const Tensor map = test::random_tensor(input, 1);
  const ConstTensorView inputs[] = {map};
  Tensor output(input);
  stride_1.forward(inputs, output, {});
  CHECK(output.view().pixel(12)[0] == std::max({map.view().pixel(12)[0], map.view().pixel(13)[0],
                                                map.view().pixel(24)[0], map.view().pixel(25)[0]}));
  CHECK(output.view().pixel(12 * 13 - 1)[2] == map.view().pixel(12 * 13 - 1)[2]);  // the corner sees itself
}

TEST_CASE("windows of padding alone and maps without pixels are refused: they have no values") {
  const auto said = [](const Layer& layer, const Shape& input) {
    return layer.output_shape(std::array{input}).error().message();
  };
  CHECK(MaxPool(ConvGeometry::square(3, 2, 2)).output_shape(std::array{Shape{1, 5, 5, 3}}).ok());
  CHECK(said(MaxPool(ConvGeometry::square(2, 2, 3)), {1, 5, 5, 3}) ==
        "a pooling layer has windows with nothing but padding, which has no largest value");
  ConvGeometry between = ConvGeometry::square(2, 1, 4);  // taps left and right of the map
  between.dilation_h = between.dilation_w = 5;
  CHECK_FALSE(MaxPool(between).output_shape(std::array{Shape{1, 3, 3, 4}}).ok());
  CHECK_FALSE(MaxPool(ConvGeometry::square(2, 1, 1)).output_shape(std::array{Shape{1, 0, 4, 3}}).ok());
  ConvGeometry below = ConvGeometry::square(2, 2);  // padding that no window reaches
  below.extra_bottom = 2;
  CHECK(MaxPool(below).output_shape(std::array{Shape{1, 5, 4, 3}}).ok());
  CHECK(said(GlobalAveragePool(), {1, 0, 4, 3}) == "a map without pixels has no average");
}

TEST_CASE("upsampling and joining tell their shapes, and what does not fit") {
  const UpsampleBy2 upsample;
  CHECK(upsample.output_shape(std::array{Shape{2, 3, 5, 7}}).value() == Shape{2, 6, 10, 7});
  CHECK(contains(upsample.output_shape(std::array{Shape{2, 3}}).error().message(), "one input [N, H, W, C]"));
  CHECK_FALSE(upsample.output_shape({}).ok());
  const Shape huge{1, Shape::max_elements / 2, 1, 1};
  CHECK(contains(upsample.output_shape(std::array{huge}).error().message(), "too large"));

  const ConcatChannels concat;
  CHECK(concat.output_shape(std::array{Shape{2, 3, 5, 7}, Shape{2, 3, 5, 4}}).value() == Shape{2, 3, 5, 11});
  CHECK(concat.output_shape(std::array{Shape{1, 28, 28, 8}, Shape{1, 27, 27, 16}}).error().message() ==
        "the maps [1, 28, 28, 8] and [1, 27, 27, 16] cannot be joined, they differ in more than their "
        "channels");
  for (const Shape& other : {Shape{2, 28, 28, 8}, Shape{1, 27, 28, 8}, Shape{1, 28, 27, 8}})
    CHECK_FALSE(concat.output_shape(std::array{Shape{1, 28, 28, 8}, other}).ok());
  CHECK_FALSE(concat.output_shape({}).ok());
  CHECK_FALSE(concat.output_shape(std::array{Shape{2, 3}}).ok());
  CHECK_FALSE(concat.output_shape(std::array{Shape{1, 2, 3, 4}, Shape{1, 2, 3}}).ok());
}

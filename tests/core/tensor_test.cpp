#include <utility>

#include <qcnet/core/tensor.hpp>

#include <doctest/doctest.h>

using qcnet::ConstTensorView;
using qcnet::Shape;
using qcnet::Tensor;
using qcnet::TensorView;

TEST_CASE("tensor: zeroed, channels last, pixels counted over all leading dimensions") {
  Tensor tensor(Shape{2, 3, 4, 5});
  CHECK(tensor.span().size() == 120);
  for (const float value : tensor.span()) CHECK(value == 0.0f);
  tensor[(1 * 12 + 2 * 4 + 3) * 5 + 4] = 7.0f;  // n 1, y 2, x 3, c 4
  CHECK(tensor.view().pixel(1 * 12 + 2 * 4 + 3)[4] == 7.0f);
  CHECK(Tensor().span().empty());
  CHECK(Tensor(Shape{}).span().size() == 1);
}

TEST_CASE("tensor: views borrow, copies do not") {
  Tensor tensor(Shape{2, 2});
  TensorView view = tensor;
  view.data[3] = 1.5f;
  const ConstTensorView constant = view;
  CHECK(constant.span()[3] == 1.5f);
  Tensor copy(constant);
  copy[3] = 2.0f;
  CHECK(tensor[3] == 1.5f);
  CHECK(copy.shape() == Shape{2, 2});
  const float* data = copy.data();
  const Tensor moved = std::move(copy);
  CHECK(moved.data() == data);
}

TEST_CASE("tensor: what was moved away, and a view of nothing, have no elements") {
  Tensor from(Shape{2, 3});
  const Tensor to = std::move(from);
  CHECK(to.span().size() == 6);
  CHECK(from.shape() == Shape{0});
  CHECK(from.view().span().empty());
  from = to;
  CHECK(from.shape() == to.shape());
  CHECK(from.data() != to.data());
  CHECK(ConstTensorView().span().empty());
}

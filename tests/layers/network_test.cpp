#include "support.hpp"

#include <memory>
#include <string>

#include <qcnet/layers/executor.hpp>
#include <qcnet/layers/network.hpp>

using namespace qcnet;
using test::contains;

namespace {

/// Sums its inputs and adds one: enough of a layer to wire graphs with.
class Sum final : public Layer {
 public:
  std::string_view kind() const override { return "sum"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override {
    for (const Shape& shape : inputs)
      if (!(shape == inputs[0])) return Error("the inputs differ");
    return inputs[0];
  }
  void forward(std::span<const ConstTensorView> inputs, TensorView output) const override {
    for (std::size_t i = 0; i < output.span().size(); ++i) {
      output.data[i] = 1;
      for (const ConstTensorView& input : inputs) output.data[i] += input.data[i];
    }
  }
  std::size_t weight_bytes() const override { return 10; }
};

std::shared_ptr<const Layer> sum() {
  return std::make_shared<const Sum>();
}

}  // namespace

TEST_CASE("a cut that more than one tensor would cross is refused") {
  // in -> a -> b -> c, where c reads a and b: at b two tensors cross, at a one, at c one.
  Network network;
  const auto a = network.add("a", sum(), {Network::input});
  const auto b = network.add("b", sum(), {a});
  const auto c = network.add("c", sum(), {a, b});
  network.add("d", sum(), {c, c});
  network.name_cut("behind a", a);
  network.name_cut("behind b", b);
  network.name_cut("behind c", c);
  network.name_cut("also behind c", c);
  network.name_cut("everything", network.output());
  network.name_cut("nothing", Network::input);
  CHECK(network.cut_names() == "behind a, behind b, behind c, also behind c, everything, nothing");
  CHECK(network.weight_bytes() == 40);

  const Tensor input = test::random_tensor({1, 2, 3, 4}, 1), output = network(input).value();
  CHECK(output[0] == doctest::Approx(4 * double{input[0]} + 4 * 1 + 2 * 1 + 3).epsilon(1e-4));
  for (const char* cut : {"behind a", "behind c", "also behind c", "everything", "nothing"}) {
    CAPTURE(cut);
    const auto [head, tail] = network.partition_at(cut).value();
    CHECK(test::identical(tail(head(input).value()).value(), output));
  }
  CHECK(network.partition_at("behind b").error().message() ==
        "more than one tensor crosses the cut point \"behind b\"");
  // The network's input can be the second tensor.
  Network skip;
  const auto first = skip.add("first", sum(), {Network::input});
  skip.add("second", sum(), {Network::input, first});
  skip.name_cut("middle", first);
  CHECK(contains(skip.partition_at("middle").error().message(), "more than one tensor crosses"));
}

TEST_CASE("the halves keep the cuts that lie in them, and can be cut again") {
  Network network;
  Network::Value at = Network::input;
  for (const char* name : {"one", "two", "three", "four"}) {
    at = network.add(name, sum(), {at});
    network.name_cut(name, at);
  }
  const auto [head, tail] = network.partition_at("two").value();
  CHECK(head.cut_names() == "one, two");
  CHECK(tail.cut_names() == "three, four");
  const auto [middle, end] = tail.partition_at("three").value();
  CHECK(middle.steps().size() == 1);
  CHECK(end.steps().front().name == "four");
  CHECK(tail.partition_at("two").error().message() ==
        "there is no cut point \"two\"; this network has: three, four");
}

TEST_CASE("a network without steps passes its input through") {
  const Tensor input = test::random_tensor({1, 3}, 1);
  CHECK(test::identical(Network()(input).value(), input));
  CHECK(contains(Network().partition_at("x").error().message(), "no cut point \"x\""));
}

#include "support.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

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
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
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

namespace {

std::vector<ConstTensorView> views(const std::vector<Tensor>& tensors) {
  return {tensors.begin(), tensors.end()};
}

bool same(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Tensor& x, const Tensor& y) { return test::identical(x, y); });
}

/// in -> a -> b -> c -> d -> e, where d reads b too; outputs: c and e.
Network with_branch() {
  Network network;
  const auto a = network.add("a", sum(), {Network::input});
  const auto b = network.add("b", sum(), {a});
  const auto c = network.add("c", sum(), {b});
  const auto d = network.add("d", sum(), {c, b});
  const auto e = network.add("e", sum(), {d});
  network.name_cut("a", a);
  network.name_cut("b", b);
  network.name_cut("c", c, {b});
  network.name_cut("d", d, {c});
  network.name_cut("d alone", d);
  network.name_cut("e", e, {c});
  network.set_outputs({c, e});
  return network;
}

}  // namespace

TEST_CASE("tensors named to cross a cut beside its own do so, in that order") {
  const Network network = with_branch();
  const Tensor input = test::random_tensor({1, 2, 3, 4}, 1);
  const ConstTensorView inputs[] = {input};
  const std::vector<Tensor> outputs = network.run(inputs).value();
  REQUIRE(outputs.size() == 2);
  CHECK(outputs[0][5] == doctest::Approx(double{input[5]} + 3));
  CHECK(outputs[1][5] == doctest::Approx(2 * double{input[5]} + 3 + 2 + 1 + 1));
  for (const char* cut : {"a", "b", "c", "d", "e"}) {
    CAPTURE(cut);
    const auto [head, tail] = network.partition_at(cut).value();
    const std::vector<Tensor> crossing = head.run(inputs).value();
    CHECK(crossing.size() == tail.inputs());
    CHECK(crossing.size() == (*cut < 'c' ? 1 : 2));
    CHECK(same(tail.run(views(crossing)).value(), outputs));
  }
  const auto [head, tail] = network.partition_at("c").value();
  CHECK(head.name_of(head.outputs()[0]) == "c");
  CHECK(head.name_of(head.outputs()[1]) == "b");
  CHECK(head.cut_names() == "a, b, c");
  CHECK(tail.cut_names() == "d, d alone, e");
  CHECK(tail.name_of(tail.outputs()[1]) == "e");
  // The tail can be cut again, and what comes in may go through.
  const auto [middle, end] = tail.partition_at("d").value();
  const auto crossing = middle.run(views(head.run(inputs).value())).value();
  CHECK(same(end.run(views(crossing)).value(), outputs));

  // An output that is made in the head crosses as well.
  CHECK(network.partition_at("d alone").error().message() ==
        "more than one tensor crosses the cut point \"d alone\"");
  Network wrong = with_branch();
  wrong.name_cut("wrong", 3, {1});
  CHECK(wrong.partition_at("wrong").error().message() == "more than 2 tensors cross the cut point \"wrong\"");
}

TEST_CASE("a network of several inputs or outputs is not run as if it had one") {
  const Tensor input = test::random_tensor({1, 3}, 1);
  CHECK(with_branch()(input).error().message() == "the network has 2 outputs, ask for all by run()");
  const Network tail = with_branch().partition_at("c").value().second;
  CHECK(tail(input).error().message() == "the network has 2 outputs, ask for all by run()");
  const ConstTensorView one[] = {input};
  CHECK(tail.run(one).error().message() == "the network takes 2 inputs, found 1");
  Network two(2);
  two.add("both", sum(), {0, 1});
  CHECK(two(input).error().message() == "the network takes 2 inputs, found 1");
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
  // So does one of several, all that it is told to.
  Network swap(2);
  swap.set_outputs({1, 0});
  const Tensor other = test::random_tensor({2}, 2);
  const ConstTensorView inputs[] = {input, other};
  const auto outputs = swap.run(inputs).value();
  CHECK(test::identical(outputs[0], other));
  CHECK(test::identical(outputs[1], input));
}

namespace {

/// Doubles its input, and then halves it if it has its activation.
class Doubled final : public Layer {
 public:
  explicit Doubled(float factor) : factor_(factor) {}
  std::string_view kind() const override { return "doubled"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override { return inputs[0]; }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    for (std::size_t i = 0; i < output.span().size(); ++i) output.data[i] = factor_ * inputs[0].data[i];
  }
  std::optional<std::pair<std::shared_ptr<const Layer>, std::shared_ptr<const Layer>>> apart_from_activation()
      const override {
    return std::pair{std::make_shared<const Doubled>(2.0f), std::make_shared<const Doubled>(factor_ / 2)};
  }

 private:
  float factor_;
};

}  // namespace

TEST_CASE("before a step's activation a network can be cut as behind it") {
  // in -> a -> b (8 times a) -> c, which reads b twice; b is an output, too.
  Network network;
  const auto a = network.add("a", sum(), {Network::input});
  const auto b = network.add("b", std::make_shared<const Doubled>(8.0f), {a});
  network.name_cut("behind a", a);
  network.name_cut_before_activation("within b");
  network.name_cut("behind b", b);
  const auto c = network.add("c", sum(), {b, b});
  network.name_cut("behind c", c, {b});
  network.set_outputs({b, c});
  CHECK(network.cut_names() == "behind a, within b, behind b, behind c");
  CHECK(network.name_of(b) == "behind b");

  const Tensor input = test::random_tensor({1, 2, 3, 4}, 1);
  const std::vector<ConstTensorView> inputs = {input};
  const std::vector<Tensor> outputs = network.run(inputs).value();
  const auto [head, tail] = network.partition_at("within b").value();
  CHECK(head.steps().size() == 2);
  CHECK(tail.steps().size() == 2);
  CHECK(head.cut_names() == "behind a, within b");
  CHECK(tail.cut_names() == "behind b, behind c");
  CHECK(head.name_of(head.outputs()[0]) == "within b");
  const Tensor crossing = head(input).value();
  CHECK(crossing[0] == 2 * (input[0] + 1));
  const std::vector<ConstTensorView> arrived = {crossing};
  const std::vector<Tensor> answers = tail.run(arrived).value();
  REQUIRE(answers.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) CHECK(test::identical(answers[i], outputs[i]));

  // Behind the activation, the head can still be cut before it.
  const Network whole_b = network.partition_at("behind b").value().first;
  CHECK(whole_b.cut_names() == "behind a, within b, behind b");
  CHECK(test::identical(whole_b.partition_at("within b").value().first(input).value(), crossing));

  Network none;
  none.add("a", sum(), {Network::input});
  none.name_cut_before_activation("nothing");
  CHECK(none.partition_at("nothing").error().message() == "a: a cut before its activation, but it has none");
  Network empty;
  empty.name_cut_before_activation("input");
  CHECK(test::contains(empty.partition_at("input").error().message(), "before the activation of an input"));
}

TEST_CASE("behind one more step a network is the same of what that step gives") {
  const Tensor x = test::random_tensor({1, 2, 3, 4}, 1);
  Tensor x_plus_1 = x;
  for (float& value : x_plus_1.span()) value += 1;
  const Tensor y = test::random_tensor({1, 2, 3, 4}, 2);
  const std::vector<ConstTensorView> given = {x, y}, read = {x_plus_1, y};

  // Of several inputs only the first goes through it; b, which is beside c, is the second one here.
  const Network tail = with_branch().partition_at("c").value().second;
  const Network made = tail.behind("first", sum());
  const std::vector<Tensor> outputs = made.run(given).value();
  CHECK(same(outputs, tail.run(read).value()));
  CHECK(made.inputs() == 2);
  CHECK(made.steps().front().name == "first");
  CHECK(made.steps().size() == tail.steps().size() + 1);
  CHECK(made.cut_names() == tail.cut_names());
  CHECK(made.name_of(made.outputs()[1]) == "e");
  for (const char* cut : {"d", "e"}) {
    CAPTURE(cut);
    const auto [head, rest] = made.partition_at(cut).value();
    CHECK(head.name_of(head.outputs()[1]) == "first");  // c, which comes in and is an output, too
    CHECK(same(rest.run(views(head.run(given).value())).value(), outputs));
  }
  CHECK(contains(made.partition_at("d alone").error().message(), "more than one tensor crosses"));

  // All cuts of one input, also the one before its first step and the one before an activation.
  Network whole = with_branch();
  whole.add("f", std::make_shared<const Doubled>(8.0f), {whole.output()});
  whole.name_cut_before_activation("within f");
  whole.name_cut("nothing", Network::input);
  whole.set_outputs({});
  const Network longer = whole.behind("first", sum());
  const Tensor answer = longer(x).value();
  CHECK(test::identical(answer, whole(x_plus_1).value()));
  for (const char* cut : {"a", "b", "d alone", "within f", "nothing"}) {
    CAPTURE(cut);
    const auto [head, rest] = longer.partition_at(cut).value();
    CHECK(test::identical(head(x).value(), whole.partition_at(cut).value().first(x_plus_1).value()));
    CHECK(test::identical(rest(head(x).value()).value(), answer));
  }
  // What is added now still is the output.
  Network added = longer;
  added.add("g", sum(), {added.output()});
  CHECK(added(x).value()[7] == answer[7] + 1);
}

TEST_CASE("behind one more step inputs that nothing reads pass through as before") {
  const Tensor x = test::random_tensor({1, 3}, 1), y = test::random_tensor({2}, 2);
  CHECK(Network().behind("first", sum())(x).value()[2] == x[2] + 1);
  const std::vector<ConstTensorView> given = {x, y};
  CHECK(test::identical(Network(2).behind("first", sum()).run(given).value()[0], y));
  Network swap(2);
  swap.set_outputs({1, 0});
  const std::vector<Tensor> outputs = swap.behind("first", sum()).run(given).value();
  CHECK(test::identical(outputs[0], y));
  CHECK(outputs[1][0] == x[0] + 1);
}

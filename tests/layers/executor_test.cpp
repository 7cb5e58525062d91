#include "allocations.hpp"
#include "support.hpp"
#include "weights_file.hpp"

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <qcnet/bits/pack.hpp>
#include <qcnet/layers/linear.hpp>
#include <qcnet/models/model.hpp>

using namespace qcnet;
using test::WeightsFile;

namespace {

Network resnet(const std::string& name) {
  return WeightsFile::golden(name)
      .with([](const io::Safetensors& file) { return models::load(file); })
      .value();
}

/// Asks for memory: enough of a layer to plan.
class Wish final : public Layer {
 public:
  Wish(const Shape& output, std::size_t scratch, std::uint64_t multiply_adds = 0)
      : output_(output), scratch_(scratch), multiply_adds_(multiply_adds) {}
  std::string_view kind() const override { return "wish"; }
  Result<Shape> output_shape(std::span<const Shape>) const override { return output_; }
  std::size_t scratch_floats(std::span<const Shape>) const override { return scratch_; }
  std::uint64_t multiply_adds(std::span<const Shape>) const override { return multiply_adds_; }
  void forward(std::span<const ConstTensorView>, TensorView, std::span<float>) const override {}

 private:
  Shape output_;
  std::size_t scratch_;
  std::uint64_t multiply_adds_;
};

/// Adds 1 to its last input, where that lies if it may.
class Increment final : public Layer {
 public:
  std::string_view kind() const override { return "increment"; }
  Result<Shape> output_shape(std::span<const Shape> inputs) const override { return inputs.back(); }
  bool may_overwrite(std::size_t) const override { return true; }
  void forward(std::span<const ConstTensorView> inputs, TensorView output, std::span<float>) const override {
    for (std::size_t i = 0; i < output.span().size(); ++i) output.data[i] = inputs.back().data[i] + 1.0f;
  }
};

}  // namespace

TEST_CASE("an executor plans once and runs again and again") {
  const Network network = resnet("resnet_bottleneck");
  Executor executor = Executor::make(network, {1, 40, 40, 3}, {.fast = false}).value();
  CHECK(executor.input_shape() == Shape{1, 40, 40, 3});
  CHECK(executor.output_shape() == Shape{1, 7});
  CHECK(executor.multiply_adds() > 9 * 400 * 147);  // the stem alone
  const Tensor a = test::random_tensor({1, 40, 40, 3}, 1), b = test::random_tensor({1, 40, 40, 3}, 2);
  const Tensor first = network(a).value(), second = network(b).value();
  for (int i = 0; i < 3; ++i) {
    CHECK(test::identical(executor.run(a), first));
    CHECK(test::identical(executor.run(b), second));
  }
  // A copy has its own memory, a moved one keeps it.
  Executor copy = executor;
  const ConstTensorView of_copy = copy.run(a);
  executor.run(b);
  CHECK(test::identical(of_copy, first));
  Executor moved = std::move(executor);
  CHECK(test::identical(moved.run(a), first));
  CHECK_THROWS_WITH(executor.input_shape(), "executor: has no input 0");
  CHECK_THROWS_WITH(moved.input_shape(1), "executor: has no input 1");
}

TEST_CASE("an executor computes 3x3 convolutions by Winograd's algorithm, if it may") {
  const Network network = resnet("resnet_basic");
  const Tensor a = test::random_tensor({2, 64, 60, 3}, 1), b = test::random_tensor({2, 64, 60, 3}, 2);
  Executor direct = Executor::make(network, a.shape(), {.fast = false}).value();
  Executor executor = Executor::make(network, a.shape()).value();
  // The network itself keeps its layers; the executor has its own, which are larger.
  CHECK(direct.network().weight_bytes() == network.weight_bytes());
  CHECK(executor.network().weight_bytes() > 2 * network.weight_bytes());
  CHECK(executor.multiply_adds() == direct.multiply_adds());
  {
    const test::Threads threads(16);  // each wants scratch memory, together more than maps leave free
    if (num_threads() == 16)          // not without OpenMP
      CHECK(Executor::make(network, a.shape()).value().workspace_bytes() > direct.workspace_bytes());
  }
  const Tensor first(executor.run(a)), second(executor.run(b));
  CHECK_FALSE(test::identical(first, direct.run(a)));
  CHECK(test::relative_difference(first, direct.run(a)) < 1e-5);
  CHECK(test::relative_difference(second, direct.run(b)) < 1e-5);
  Executor copy = executor;
  for (const int count : {1, 2, 3}) {  // planned for as many threads as there were, it runs with any number
    const test::Threads threads(count);
    CHECK(test::identical(executor.run(a), first));
    CHECK(test::identical(copy.run(b), second));
    const std::size_t before = allocations();
    executor.run(a);
    CHECK(allocations() == before);
  }
}

TEST_CASE("an executor computes large linear layers by Strassen's algorithm, where a build has it") {
  const auto linear = [](std::uint32_t seed) {
    const Tensor weights = test::random_tensor({512, 512}, seed);
    return std::make_shared<const Linear>(kernels::pack_linear(weights, {}).value());
  };
  Network network;
  network.add("first", linear(1), {Network::input});
  network.add("second", linear(2), {1, Network::input});
  network.add("third", linear(3), {2, 1});
  const Tensor input = test::random_tensor({1, 197, 512}, 4);
  Executor direct = Executor::make(network, input.shape(), {.fast = false}).value();
  Executor executor = Executor::make(network, input.shape()).value();
  CHECK((executor.network().weight_bytes() > network.weight_bytes()) == kernels::detail::has_strassen);
  const Tensor first(executor.run(input));
  CHECK(test::identical(first, direct.run(input)) != kernels::detail::has_strassen);
  CHECK(test::relative_difference(first, direct.run(input)) < 1e-5);
  for (const int count : {1, 2, 3}) {
    const test::Threads threads(count);
    const std::size_t before = allocations();
    CHECK(test::identical(executor.run(input), first));
    CHECK(allocations() == before);
  }
}

TEST_CASE("a run shows each step's value, which at a cut is what the head alone computes") {
  const Network network = resnet("resnet_bottleneck");
  const Tensor image = test::random_tensor({1, 33, 30, 3}, 1);
  Executor whole = Executor::make(network, image.shape(), {.fast = false}).value();
  std::vector<Tensor> values;
  const ConstTensorView input = image;
  const Tensor output(whole.run(std::span(&input, 1), [&](std::size_t step, ConstTensorView value) {
    CHECK(step == values.size());
    values.emplace_back(value);
  }));
  CHECK(values.size() == network.steps().size());
  CHECK(test::identical(values.back(), output));
  CHECK(test::identical(output, network(image).value()));
  for (const Network::Cut& cut : network.cuts())
    if (!cut.before_activation && cut.value >= network.inputs())
      CHECK(test::identical(values[cut.value - network.inputs()],
                            network.partition_at(cut.name).value().first(image).value()));
}

TEST_CASE("a convolution whose map is only pooled never has that map in memory") {
  const auto conv = [](std::size_t cin, std::size_t cout, std::uint32_t seed) {
    const ConvWeights weights{test::random_tensor({cout, 3, 3, cin}, seed), test::random_values(cout, seed)};
    return Conv2d::make(weights, "conv", ConvGeometry::square(3, 1, 1), cin, Activation::leaky_relu).value();
  };
  const auto pool = std::make_shared<const MaxPool>(ConvGeometry::square(2, 2));
  const auto chain = [&] {
    Network network;
    network.add("0", conv(3, 16, 1), {Network::input});
    network.name_cut("0", network.output());
    network.add("1", pool, {network.output()});
    network.add("2", conv(16, 24, 2), {network.output()});
    network.add("3", pool, {network.output()});
    return network;
  };
  const Tensor image = test::random_tensor({2, 32, 40, 3}, 3);
  const ConstTensorView input = image;
  const auto steps_seen = [&](Executor& executor) {
    std::vector<std::size_t> steps;
    executor.run(std::span(&input, 1), [&](std::size_t step, ConstTensorView value) {
      steps.push_back(step);
      CHECK(value.shape == (step < 2 ? Shape{2, 16, 20, 16} : Shape{2, 8, 10, 24}));
    });
    return steps;
  };
  for (const bool fast : {false, true}) {
    const Arithmetic arithmetic{.fast = fast};
    const std::size_t map = 2 * 32 * 40 * 16 * sizeof(float);
    Executor pooled = Executor::make(chain(), image.shape(), arithmetic).value();
    CHECK(steps_seen(pooled) == std::vector<std::size_t>{1, 3});
    const Tensor made(pooled.run(input));

    Network all = chain();  // the caller wants the first map, too
    all.set_outputs({1, all.output()});
    Executor apart = Executor::make(all, image.shape(), arithmetic).value();
    apart.run(input);
    CHECK(apart.output(0).shape == Shape{2, 32, 40, 16});
    CHECK(std::equal(made.span().begin(), made.span().end(), apart.output(1).span().begin()));
    CHECK(apart.workspace_bytes() >= pooled.workspace_bytes() + map / 2);

    const auto halves = chain().partition_at("0").value();
    Executor head = Executor::make(halves.first, image.shape(), arithmetic).value();
    Executor tail = Executor::make(halves.second, head.output_shape(), arithmetic).value();
    const ConstTensorView through = tail.run(head.run(input));
    CHECK(std::equal(made.span().begin(), made.span().end(), through.span().begin()));

    Network twice = chain();  // something else reads the first map, too
    twice.add("4", pool, {1});
    twice.set_outputs({4, 5});
    Executor read_twice = Executor::make(twice, image.shape(), arithmetic).value();
    read_twice.run(input);
    CHECK(std::equal(made.span().begin(), made.span().end(), read_twice.output(0).span().begin()));
    CHECK(read_twice.output(1).shape == Shape{2, 16, 20, 16});

    const std::size_t before = allocations();
    for (const int count : {1, 2}) {
      const test::Threads threads(count);
      CHECK(std::equal(made.span().begin(), made.span().end(), pooled.run(input).span().begin()));
    }
    CHECK(allocations() == before);
  }
}

TEST_CASE("a map without whole windows is pooled apart") {
  const Tensor image = test::random_tensor({1, 33, 41, 5}, 3);
  const ConvWeights weights{test::random_tensor({9, 3, 3, 5}, 1), test::random_values(9, 2)};
  const ConvGeometry three = ConvGeometry::square(3, 1, 1);
  for (const ConvGeometry& windows : {ConvGeometry::square(2, 2), ConvGeometry::darknet_pool(2, 2)}) {
    Network network;
    network.add("0", Conv2d::make(weights, "0", three, 5, Activation::relu).value(), {Network::input});
    network.add("1", std::make_shared<const MaxPool>(windows), {network.output()});
    Executor executor = Executor::make(network, image.shape(), {.fast = false}).value();
    const ConstTensorView made = executor.run(image);
    Tensor map({1, 33, 41, 9}), expected(made.shape);
    kernels::conv2d(kernels::PackedConv2d::make(weights.weights, weights.bias, three).value(), image, map,
                    Activation::relu);
    kernels::max_pool(windows, map, expected);
    CHECK(std::equal(expected.span().begin(), expected.span().end(), made.span().begin()));
  }
}

TEST_CASE("activations share memory") {
  Executor executor = Executor::make(resnet("resnet_grouped"), {1, 64, 64, 3}, {.fast = false}).value();
  std::size_t all = 0, largest = 0;
  Shape shape{1, 64, 64, 3};
  std::vector<Shape> shapes = {shape};
  for (const Network::Step& step : executor.network().steps()) {
    std::vector<Shape> inputs;
    for (const Network::Value v : step.inputs) inputs.push_back(shapes[v]);
    shapes.push_back(step.layer->output_shape(inputs).value());
    all += shapes.back().elements() * sizeof(float);
    largest = std::max(largest, shapes.back().elements() * sizeof(float));
  }
  CHECK(executor.workspace_bytes() < all / 2);
  CHECK(executor.workspace_bytes() >= 2 * largest);  // input and output of the largest layer
}

TEST_CASE("bits from the last layer's epilogue are those of the float map") {
  for (const Arithmetic& arithmetic : {Arithmetic{.fast = false}, Arithmetic{}})
    for (const char* kind : {"resnet_basic", "resnet_bottleneck", "resnet_grouped"}) {
      const Network network = resnet(kind);
      const Tensor input = test::random_tensor({1, 33, 30, 3}, 1);
      for (const Network::Cut& cut : network.cuts()) {
        CAPTURE(cut.name);
        Executor head =
            Executor::make(network.partition_at(cut.name).value().first, input.shape(), arithmetic).value();
        const Tensor map(head.run(input));
        // Some thresholds equal to values of the map: a value at its threshold is a 0.
        const std::size_t channels = map.shape().channels();
        std::vector<float> thresholds;
        for (std::size_t c = 0; c < channels; ++c)
          thresholds.push_back(c % 4 == 0 ? 0.0f : map[map.shape().pixels() / 2 * channels + c]);
        CHECK(head.emits_bits() == (cut.name != "maxpool"));
        if (!head.emits_bits()) continue;
        const std::vector<float> by_feature = test::random_values(map.span().size(), 2);
        for (const int count : {1, 2, 3})
          for (const auto& some : {thresholds, by_feature}) {
            test::Threads threads(count);
            Bitplane bits(map.shape());
            head.run_bits(input, pad_thresholds(some, channels), bits);
            const Bitplane expected = binarize(map, some);
            CHECK(std::equal(bits.bytes().begin(), bits.bytes().end(), expected.bytes().begin()));
          }
      }
    }
}

TEST_CASE("an output made early is still there at the end") {
  // stem -> stages, with the stem's map as second output: its memory must not be used again.
  Network network = resnet("resnet_bottleneck");
  const Network plain = network;
  network.set_outputs({network.output(), 1});
  Executor executor = Executor::make(network, {1, 40, 40, 3}, {.fast = false}).value();
  CHECK(executor.outputs() == 2);
  CHECK(executor.output_shape() == Shape{1, 7});
  CHECK(executor.output_shape(1) == Shape{1, 20, 20, 9});
  // Behind the stem, whose scratch memory is the most there is at any time, it takes more memory.
  const Network tail = plain.partition_at("relu").value().second;
  Network keeping = tail;
  keeping.set_outputs({keeping.output(), 1});
  const Shape map{1, 20, 20, 9};
  CHECK(Executor::make(keeping, map, {.fast = false}).value().workspace_bytes() >
        Executor::make(tail, map, {.fast = false}).value().workspace_bytes());
  const Tensor stem =
      plain.partition_at("relu").value().first(test::random_tensor({1, 40, 40, 3}, 1)).value();
  for (int i = 0; i < 2; ++i) {
    const Tensor input = test::random_tensor({1, 40, 40, 3}, 1);
    CHECK(test::identical(executor.run(input), plain(input).value()));
    CHECK(test::identical(executor.output(), plain(input).value()));
    CHECK(test::identical(executor.output(1), stem));
  }
  // Bits only where the first output is what the last layer makes.
  Network head = plain.partition_at("layer1").value().first;
  CHECK(Executor::make(head, {1, 40, 40, 3}).value().emits_bits());
  head.set_outputs({1, head.output()});
  CHECK_FALSE(Executor::make(head, {1, 40, 40, 3}).value().emits_bits());
}

TEST_CASE("a step's output lies where its input was only if nobody else reads that") {
  const auto increment = std::make_shared<const Increment>();
  const Tensor ones = test::random_tensor({1, 4, 4, 16}, 1);
  const std::size_t bytes = ones.span().size() * sizeof(float);
  const auto made = [&](const Network& network) { return Executor::make(network, ones.shape()).value(); };
  const auto check = [&](ConstTensorView value, float more) {
    for (std::size_t i = 0; i < ones.span().size(); ++i)
      REQUIRE(value.data[i] == doctest::Approx(ones[i] + more));
  };
  Network chain;
  for (int i = 0; i < 3; ++i) chain.add("step", increment, {chain.output()});
  Executor in_place = made(chain);
  CHECK(in_place.workspace_bytes() == bytes);  // the caller's picture is not touched
  for (int i = 0; i < 2; ++i) check(in_place.run(ones), 3.0f);

  Network twice = chain;  // the second step's value is an output, the first step's is read again
  twice.add("again", increment, {3, 1});
  twice.set_outputs({4, 2});
  Executor kept = made(twice);
  check(kept.run(ones), 2.0f);
  check(kept.output(1), 2.0f);
  CHECK(kept.workspace_bytes() >= 2 * bytes);

  Network both;  // an input that is read twice by one step
  both.add("step", increment, {0});
  both.add("of both", increment, {1, 1});
  CHECK(made(both).workspace_bytes() == 2 * bytes);
}

TEST_CASE("a residual is added where it lies, if the depth is short") {
  for (const std::size_t depth : {kernels::detail::max_pass, kernels::detail::max_pass + 1}) {
    const auto conv = [](std::size_t cout, std::size_t cin) {
      const Tensor weights = test::random_tensor({cout, 1, 1, cin}, 1);
      return std::make_shared<const Conv2d>(kernels::PackedConv2d::make(weights, {}, {}).value(),
                                            kernels::Activation::relu);
    };
    Network network;
    network.add("map", std::make_shared<const Increment>(), {0});
    network.add("wide", conv(depth, 4), {1});
    network.add("narrow", conv(4, depth), {2, 1});
    const Tensor input = test::random_tensor({1, 6, 5, 4}, 3);
    Executor executor = Executor::make(network, input.shape()).value();
    const std::size_t bytes = input.span().size() * sizeof(float), wide = bytes / 4 * depth;
    CHECK((executor.workspace_bytes() < 2 * bytes + wide) == (depth == kernels::detail::max_pass));
    Network keeping = network;  // with the residual as an output it cannot be overwritten
    keeping.set_outputs({3, 1});
    Executor apart = Executor::make(keeping, input.shape()).value();
    for (int i = 0; i < 2; ++i) CHECK(test::identical(executor.run(input), apart.run(input)));
  }
}

TEST_CASE("an input that does not fit is an error that names the step") {
  const Network network = resnet("resnet_bottleneck");
  CHECK(test::contains(Executor::make(network, {1, 40, 40, 4}).error().message(), "conv1: "));
  CHECK(test::contains(Executor::make(network, {40, 40, 3}).error().message(),
                       "conv1: expected an input [N, H, W, C]"));
  // One pixel is enough for every window with its padding; none is not.
  CHECK(Executor::make(network, {1, 1, 1, 3}).ok());
  CHECK(test::contains(Executor::make(network, {1, 0, 0, 3}).error().message(), "conv1: a window of 7x7"));
}

TEST_CASE("an executor is run with inputs as they were planned") {
  const Network network = resnet("resnet_bottleneck");
  Executor executor = Executor::make(network, {1, 40, 40, 3}).value();
  CHECK_THROWS_WITH(executor.run(Tensor({1, 40, 40, 4})),
                    "executor: expected an input [1, 40, 40, 3], found [1, 40, 40, 4]");
  CHECK_THROWS_WITH(executor.run(Tensor({1, 20, 80, 3})),
                    "executor: expected an input [1, 40, 40, 3], found [1, 20, 80, 3]");
  const Tensor good({1, 40, 40, 3});
  CHECK_THROWS_WITH(executor.run(std::vector<ConstTensorView>{good, good}),
                    "executor: expected 1 inputs, found 2");
  CHECK_THROWS_WITH(executor.run(std::span<const ConstTensorView>()), "executor: expected 1 inputs, found 0");
  Executor head = Executor::make(network.partition_at("layer1").value().first, {1, 40, 40, 3}).value();
  Bitplane bits(head.output_shape());
  const std::size_t channels = head.output_shape().channels();
  CHECK_THROWS_WITH(
      head.run_bits(Tensor({1, 8, 8, 3}), pad_thresholds(std::vector<float>(channels), channels), bits),
      "executor: expected an input [1, 40, 40, 3], found [1, 8, 8, 3]");
}

TEST_CASE("memory that no network needs is refused before it is allocated") {
  const Shape largest{1, Executor::most_floats / 4, 1, 4};
  const auto said = [&](const Network& network, const Shape& input) {
    return Executor::make(network, input).error().message();
  };
  const std::string too_many = " is more than " + std::to_string(Executor::most_floats) +
                               " values, the most that is supported; give the network a smaller input";
  Network one;
  one.add("wish", std::make_shared<const Wish>(largest, 0), {Network::input});
  CHECK(said(one, {largest[1], 1, 1, 5}) == "an input " + Shape{largest[1], 1, 1, 5}.to_string() + too_many);
  Network two = one;
  const Shape larger{1, largest[1], 1, 5};
  two.add("larger", std::make_shared<const Wish>(larger, 0), {two.output()});
  CHECK(said(two, {1}) == "larger: an output " + larger.to_string() + too_many);
  Network three = one;
  three.add("scratch", std::make_shared<const Wish>(Shape{1}, Executor::most_floats + 1), {three.output()});
  CHECK(said(three, {1}) == "scratch: the scratch memory for an output [1]" + too_many);

  // Each is allowed, but not all of them at a time.
  Network many = one;
  for (int i = 0; i < 4; ++i) many.add("wish", std::make_shared<const Wish>(largest, 0), {many.output()});
  many.set_outputs({1, 2, 3, 4, 5});
  CHECK(said(many, {1}) == "the network's maps need more than " + std::to_string(Executor::most_bytes >> 30) +
                               " GiB at a time, the most that is supported; give it a smaller input");
}

TEST_CASE("work that keeps all processors busy for minutes is refused") {
  Network network;
  for (const char* name : {"first", "second"})
    network.add(name, std::make_shared<const Wish>(Shape{1}, 0, Executor::most_multiply_adds / 2),
                {network.output()});
  CHECK(Executor::make(network, {1}).value().multiply_adds() == Executor::most_multiply_adds);
  network.add("third", std::make_shared<const Wish>(Shape{1}, 0, 1), {network.output()});
  CHECK(Executor::make(network, {1}).error().message() ==
        "third: up to here the network takes " + std::to_string(Executor::most_multiply_adds + 1) +
            " multiply-adds, of which " + std::to_string(Executor::most_multiply_adds) +
            " are supported; give it a smaller input");
}

TEST_CASE("so is that of steps which count no multiply-adds") {
  const Shape large{std::size_t{1} << 24};
  const std::uint64_t most = Executor::most_multiply_adds / Executor::multiply_adds_a_value;
  Network network;
  // The first reads one value, all others a map, which they write again.
  while (network.steps().size() < most / 2 / large.elements())
    network.add("step", std::make_shared<const Wish>(large, 0), {network.output()});
  CHECK(Executor::make(network, {1}).ok());
  network.add("last", std::make_shared<const Wish>(large, 0), {network.output()});
  CHECK(test::contains(Executor::make(network, {1}).error().message(),
                       "last: up to here the steps of the network read and write "));
}

TEST_CASE("a graph that was wired wrong is refused, and its step named") {
  const auto layer = std::make_shared<const Wish>(Shape{1}, 0);
  const auto said = [](const Network& network) { return Executor::make(network, {1}).error().message(); };
  Network none;
  none.add("none", nullptr, {Network::input});
  CHECK(said(none) == "none: has no layer");
  Network later;
  later.add("later", layer, {1});
  CHECK(said(later) == "later: reads value 1, which no step before it makes");
  Network many;
  many.add("many", layer, std::vector<Network::Value>(5, Network::input));
  CHECK(said(many) == "many: reads 5 values, at most 4 are possible");
  Network output;
  output.add("step", layer, {Network::input});
  output.set_outputs({0, 9});
  CHECK(said(output) == "value 9 is to be an output, but no step makes it");
  output.name_cut("cut", 9);
  CHECK(output.partition_at("cut").error().message() ==
        "the cut point \"cut\" is at no value of this network");
  CHECK(Executor::make(Network(0), std::span<const Shape>()).error().message() == "a network needs an input");

  Network endless;
  for (std::size_t i = 0; i <= Executor::most_steps; ++i)
    endless.add("step", std::make_shared<Wish>(Shape{1, 1, 1, 1}, 0), {i});
  CHECK(said(endless) == "the network has 16385 steps, of which 16384 are supported");
}

TEST_CASE("bits are made for maps and thresholds that are the output's") {
  const Network network = resnet("resnet_bottleneck");
  const Tensor input = test::random_tensor({1, 40, 40, 3}, 1);
  Executor head = Executor::make(network.partition_at("layer2").value().first, input.shape()).value();
  const std::size_t channels = head.output_shape().channels();
  const std::vector<float> thresholds = pad_thresholds(std::vector<float>(channels, 0.5f), channels);
  Bitplane bits(head.output_shape()), small({1, 2, 2, channels});
  CHECK_NOTHROW(head.run_bits(input, thresholds, bits));
  CHECK_THROWS(head.run_bits(input, thresholds, small));
  CHECK_THROWS(head.run_bits(input, std::span(thresholds).first(1), bits));
  CHECK_THROWS(pad_thresholds(std::vector<float>(1), channels));
  Network floats;  // alone
  floats.add("floats", std::make_shared<const Wish>(Shape{1, 4}, 0), {Network::input});
  Executor never = Executor::make(floats, {1}).value();
  Bitplane four({1, 4});
  CHECK_THROWS(never.run_bits(Tensor({1}), pad_thresholds(std::vector<float>(4), 4), four));
}

TEST_CASE("an executor computes in bfloat16 if it is asked to, or says why it cannot") {
  const Network network = resnet("resnet_bottleneck");
  const Tensor input = test::random_tensor({1, 40, 40, 3}, 1);
  auto rounded = Executor::make(network, input.shape(), {.fast = false, .bf16 = true});
  if (!has_bf16) {
    CHECK(test::contains(rounded.error().message(), "no instructions for bfloat16"));
    return;
  }
  Executor exact = Executor::make(network, input.shape(), {.fast = false}).value();
  const double difference = test::relative_difference(rounded->run(input), exact.run(input));
  CHECK(difference > 1e-6);
  CHECK(difference < 3e-2);
  CHECK(rounded->network().weight_bytes() < exact.network().weight_bytes());
}

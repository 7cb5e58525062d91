// Where should a model be cut? Times every cut here, adds what a link costs, and says which way is best.
#include "common/cuttable_model.hpp"
#include "common/json.hpp"
#include "common/link.hpp"
#include "common/measure.hpp"
#include "common/output_file.hpp"
#include "common/program.hpp"
#include "common/results.hpp"
#include "common/trial_pictures.hpp"
#include "common/ways.hpp"

#include <cmath>
#include <filesystem>
#include <iomanip>
#include <sstream>

namespace {

using namespace examples;
using qcnet::Error, qcnet::Result;
using Sends = Way::Sends;

/// Of an option that takes all names behind it.
CLI::Validator no_weights() {
  return {[](const std::string& name) {
            return name.ends_with(".safetensors") ? name + " is a file of weights: name it before the options"
                                                  : std::string();
          },
          ""};
}

/// All of the command line but files.
struct Options {
  Link link{.name = "a link"};
  double node_scale = 1, server_scale = 1;
  std::optional<double> node_watts;
  std::vector<std::string> pictures;
  std::string split;
  std::size_t limit = 20;
  std::optional<std::size_t> picture_bytes, answer_bytes;
  Bounds bounds;
  std::string goal;  // empty: accuracy if a cut's is known, else latency

  void add_to(CLI::App& app) {
    std::string group = "Link";
    const auto number = [&](const char* name, auto& value, const char* text,
                            const CLI::Validator& check = above_zero()) {
      return app.add_option(name, value, text)->check(check)->group(group);
    };
    std::vector<std::string> keys;
    for (const Link& known : known_links) keys.emplace_back(known.key);
    // CLI11 sets values in the order of these lines: the others can change some of a known link's.
    app.add_option_function<std::string>(
           "--link",
           [this](const std::string& key) { link = *std::ranges::find(known_links, key, &Link::key); },
           "Constants of a known one (docs/planner.md)")
        ->check(CLI::IsMember(keys))
        ->group(group);
    number("--goodput", link.bits_per_second, "Bits a second that arrive");
    number("--energy-per-byte", link.joules_per_byte, "Joules that the node's radio takes for a byte");
    number("--packet-bytes", link.packet_bytes, "Packets carry so many bytes and are sent whole");
    number("--latency", link.latency_ms, "Milliseconds that every message takes besides", from_zero());
    number("--session-energy", link.session_joules, "Joules that every message takes besides", from_zero());

    group = "Node and server";
    number("--node-scale", node_scale, "The node takes so many times as long as this machine");
    number("--server-scale", server_scale, "The server takes so many times as long as this machine");
    number("--node-power", node_watts, "Watts that the node takes more while it computes");

    group = "Pictures";
    app.add_option("--pictures", pictures,
                   "Pictures, or a dataset as node takes it: what to send, and what to compress")
        ->check(no_weights())
        ->group(group);
    app.add_option("--split", split, "Of a folder of pictures with boxes only train, val or test")
        ->group(group);
    number("--limit", limit, "Use so many of them, spread over all")->capture_default_str();
    number("--picture-bytes", picture_bytes, "Bytes to send a picture, instead of its file's");
    number("--answer-bytes", answer_bytes, "Bytes to send an answer (default 8, of a detector 120)");

    group = "What is wanted";
    number("--max-latency", bounds.total_ms, "Milliseconds from picture to answer at most");
    number("--max-energy", bounds.millijoules, "Millijoules of the node a picture at most");
    number("--max-memory", bounds.node_megabytes, "MB of weights and activations on the node at most");
    number("--min-accuracy", bounds.accuracy, "Percent at least");
    app.add_option("--minimize", goal, "What is to be least within the bounds, instead of the best accuracy")
        ->check(CLI::IsMember({"latency", "energy", "memory", "bytes"}))
        ->group(group);
  }
};

/// What came out.
struct Plan {
  std::string model, metric;
  std::size_t pictures = 0;  // 0: a made-up one
  bool picture_is_file = false;
  std::vector<Way> ways = {};
  std::string goal = {};
  std::size_t best = 0;  // or, if no way is within the bounds, the nearest
  bool found = false;
};

/// Measures all ways of a model.
class Planner {
 public:
  static Result<Planner> make(const std::vector<std::string>& files, const PreprocessOptions& preprocess,
                              const Options& options, const std::vector<std::string>& results) {
    QCNET_TRY(auto model, CuttableModel::load(files, preprocess));
    if (options.bounds.accuracy && !model.knows_accuracy && results.empty())
      return Error("--min-accuracy: no accuracy is known; give deployments, or --results of evaluate --json");
    QCNET_TRY(auto pictures,
              TrialPictures::open(options.pictures, options.split, options.limit, model.preprocess));
    Planner planner(std::move(model), options, std::move(pictures));
    for (const std::string& path : results) {
      QCNET_TRY(auto read, Results::read(path));
      if (!planner.model_.name.empty() && read.model != planner.model_.name)
        return Error(path + ": is about the model " + read.model + ", not " + planner.model_.name);
      planner.results_.push_back(std::move(read));
    }
    return planner;
  }

  Result<Plan> run() {
    Plan plan{model_.name, model_.metric};
    plan.pictures = pictures_.made_up() ? 0 : pictures_.count();
    std::vector<Way> on_node;
    QCNET_CHECK(measure_uncut(plan, on_node));
    for (const auto& make_cut : model_.cuts) {
      QCNET_TRY(const TriableCut cut, make_cut());
      QCNET_CHECK(measure_cut(cut, plan.ways));
    }
    plan.ways.insert(plan.ways.end(), on_node.begin(), on_node.end());

    for (const Way& way : plan.ways)
      if (!std::isfinite(way.total_ms() + way.millijoules))
        return Error("a time or an energy is beyond all numbers: check the link's options and the scales");
    // A whole model's file may know its own accuracy, but that of no cut, which are then chosen by time.
    const bool known =
        std::ranges::any_of(plan.ways, [](const Way& w) { return !w.cut.empty() && w.accuracy.has_value(); });
    plan.goal = !options_.goal.empty() ? options_.goal : known ? "accuracy" : "latency";
    const Goal goal = static_cast<Goal>(std::ranges::find(goals, plan.goal) - std::begin(goals));
    plan.best = best(plan.ways, options_.bounds, goal);
    plan.found = options_.bounds.excess(plan.ways[plan.best]) == 0;
    return plan;
  }

 private:
  using Sizes = std::vector<std::size_t>;
  static constexpr const char* goals[] = {"accuracy", "latency", "energy", "memory", "bytes"};

  Planner(CuttableModel model, const Options& options, TrialPictures pictures)
      : model_(std::move(model)), options_(options), pictures_(std::move(pictures)) {}

  /// The picture sent to the server, and what the node can do alone. Winograd's and Strassen's algorithms are
  /// faster but take more memory, which a server has and a node may not have.
  Result<void> measure_uncut(Plan& plan, std::vector<Way>& on_node) const {
    QCNET_TRY(const UncutModel fast, model_.uncut({}));
    QCNET_TRY(const UncutModel small, model_.uncut({.fast = false}));
    const bool differ = small.bytes < fast.bytes;
    Timings decode, fast_ms, small_ms;
    Sizes sizes;
    QCNET_CHECK(pictures_.repeat([&](std::size_t i, const Pictures::Picture& picture) -> Result<void> {
      std::error_code no_file;
      auto size = static_cast<std::size_t>(std::filesystem::file_size(picture.name, no_file));
      if (no_file)
        size = picture.image.pixels.size();
      else
        QCNET_CHECK(decode([&] { return qcnet::vision::read_image(picture.name); }));
      plan.picture_is_file = !no_file || options_.picture_bytes;
      if (i < pictures_.count()) sizes.push_back(size);
      if (differ) QCNET_CHECK(small_ms([&] { return small.answer(picture.image); }));
      return fast_ms([&] { return fast.answer(picture.image); });
    }));
    if (options_.picture_bytes) sizes = {*options_.picture_bytes};
    const auto accuracy = accuracy_of("", "unpartitioned", model_.accuracy);
    plan.ways.push_back(
        way({.sends = Sends::picture, .accuracy = accuracy}, 0, sizes, decode.median() + fast_ms.median()));
    const auto alone = [&](const char* method, const UncutModel& model, const Timings& ms) {
      return way({.sends = Sends::answer,
                  .method = method,
                  .node_megabytes = mega(model.bytes),
                  .accuracy = accuracy},
                 ms.median(), {answer_bytes()}, 0);
    };
    if (differ) on_node.push_back(alone("", small, small_ms));
    on_node.push_back(alone(differ ? "fast" : "", fast, fast_ms));
    return {};
  }

  /// Bits as they are, and where pictures are real also in fewer bytes.
  Result<void> measure_cut(const TriableCut& cut, std::vector<Way>& ways) const {
    struct Form {
      qcnet::Coding coding;
      Sends sends;
      Timings node = {};
      Sizes sizes = {};
      std::vector<Timings> servers = {};
    };
    std::vector<Form> forms = {{qcnet::Coding::none, Sends::bits}};
    if (cut.has_bits && !pictures_.made_up()) forms.push_back({qcnet::Coding::context, Sends::coded_bits});
    for (Form& form : forms) form.servers.resize(cut.methods.size());
    QCNET_CHECK(pictures_.repeat([&](std::size_t i, const Pictures::Picture& picture) -> Result<void> {
      for (Form& form : forms) {  // in turn, so that all see the same machine
        QCNET_TRY(const std::size_t size, form.node([&] { return cut.node(picture.image, form.coding); }));
        if (i < pictures_.count()) form.sizes.push_back(size);
        for (std::size_t m = 0; m < cut.methods.size(); ++m)
          QCNET_CHECK(form.servers[m](cut.methods[m].server));
      }
      return {};
    }));
    for (std::size_t m = 0; m < cut.methods.size(); ++m)
      for (const Form& form : forms) {
        const auto& [method, server, accuracy] = cut.methods[m];
        ways.push_back(way({.sends = form.sends,
                            .cut = cut.name,
                            .method = method,
                            .node_megabytes = mega(cut.node_bytes),
                            .accuracy = accuracy_of(cut.name, method, accuracy)},
                           form.node.median(), form.sizes, form.servers[m].median()));
      }
    return {};
  }

  Way way(Way way, double node_ms, const Sizes& sizes, double server_ms) const {
    const Link::Cost cost = options_.link.cost(sizes);
    way.node_ms = options_.node_scale * node_ms;
    way.bytes = cost.bytes;
    way.send_ms = cost.ms;
    way.server_ms = options_.server_scale * server_ms;
    way.millijoules = cost.millijoules + options_.node_watts.value_or(0) * way.node_ms;
    return way;
  }

  static double mega(std::size_t bytes) { return static_cast<double>(bytes) / 1e6; }

  /// A class and its probability in 4 bytes each; ten boxes, each with class, score and edges in 2 bytes
  /// each.
  std::size_t answer_bytes() const { return options_.answer_bytes.value_or(model_.finds_boxes ? 120 : 8); }

  /// What was measured counts more than what a file says. An empty `cut` stands for any.
  std::optional<double> accuracy_of(const std::string& cut, const std::string& method,
                                    std::optional<double> otherwise) const {
    for (const Results& results : results_)
      if (const auto found = results.accuracy.find(method);
          found != results.accuracy.end() && (cut.empty() || cut == results.cut))
        return found->second;
    return otherwise;
  }

  CuttableModel model_;
  Options options_;
  TrialPictures pictures_;
  std::vector<Results> results_;
};

std::string what_is_sent(const Plan& plan, const Way& way) {
  switch (way.sends) {
    case Sends::picture:
      return plan.picture_is_file ? "the picture's file" : "the raw picture";
    case Sends::bits:
      return way.cut;
    case Sends::coded_bits:
      return way.cut + ", coded";
    case Sends::answer:
      return "only the answer";
  }
  return {};
}

/// Three digits, or all before the point.
std::string short_number(double number) {
  return fixed(number, number >= 100 ? 0 : number >= 10 ? 1 : number >= 1 ? 2 : 3);
}

std::string describe(const Plan& plan, const Way& way) {
  return what_is_sent(plan, way) + (way.method.empty() ? "" : " by " + way.method) + ", " +
         short_number(way.total_ms()) + " ms, " + short_number(way.millijoules) + " mJ, " +
         short_number(way.node_megabytes) + " MB" +
         (way.accuracy ? ", " + fixed(*way.accuracy, 2) + " %" : "");
}

/// Where the figures come from, and what is not in them.
std::string assumptions(const Plan& plan, const Options& options) {
  const Link& link = options.link;
  std::ostringstream out;
  out << (plan.model.empty() ? "This model" : plan.model) << " over " << link.name << ": "
      << link.bits_per_second / 1e3 << " kbit/s, " << 1e6 * link.joules_per_byte << " uJ a byte";
  if (link.transmit_watts) out << " (transmitter " << *link.transmit_watts << " W)";
  if (link.packet_bytes > 1) out << ", in whole packets of " << link.packet_bytes << " bytes";
  if (link.latency_ms > 0) out << ", and " << link.latency_ms << " ms a message";
  out << "\nTimes are medians on this machine over ";
  if (plan.pictures == 0)
    out << "a made-up picture";
  else
    out << plan.pictures << " pictures";
  out << ", the node's x " << options.node_scale << ", the server's x " << options.server_scale
      << "\nEnergy is that of the node's radio";
  if (options.node_watts) out << ", and " << *options.node_watts << " W while it computes";
  if (link.session_joules > 0) out << ", and " << link.session_joules << " J a message to stay connected";
  if (!options.node_watts) out << "; its computing is not counted (--node-power)";
  if (link.session_joules == 0) out << "; staying connected is not counted (--session-energy)";
  return out.str();
}

std::string bounds_text(const Bounds& bounds) {
  std::string out;
  const auto add = [&](const std::string& bound) { out += (out.empty() ? " within " : ", ") + bound; };
  if (bounds.total_ms) add(short_number(*bounds.total_ms) + " ms");
  if (bounds.millijoules) add(short_number(*bounds.millijoules) + " mJ");
  if (bounds.node_megabytes) add(short_number(*bounds.node_megabytes) + " MB");
  if (bounds.accuracy) add("at least " + fixed(*bounds.accuracy, 2) + " %");
  return out;
}

std::string table(const Plan& plan, const Options& options) {
  std::size_t longest_sent = 0, longest_method = 0;
  for (const Way& way : plan.ways) {
    longest_sent = std::max(longest_sent, what_is_sent(plan, way).size());
    longest_method = std::max(longest_method, way.method.size());
  }
  const bool methods = longest_method > 0;
  const int sent = static_cast<int>(longest_sent) + 2,
            method = methods ? static_cast<int>(std::max<std::size_t>(longest_method, 6)) : 0;
  std::ostringstream out;
  out << assumptions(plan, options) << "\n\n   " << std::left << std::setw(sent) << "sent"
      << std::setw(method) << (methods ? "method" : "") << std::right;
  for (const char* title : {"bytes", "node ms", "send ms", "server ms", "total ms", "energy mJ", "node MB"})
    out << std::setw(11) << title;
  out << std::setw(11) << plan.metric << '\n';
  for (const Way& way : plan.ways) {
    out << (plan.found && &way == &plan.ways[plan.best] ? '>' : ' ')
        << (is_pareto_optimal(way, plan.ways) ? '*' : ' ') << ' ' << std::left << std::setw(sent)
        << what_is_sent(plan, way) << std::setw(method) << way.method << std::right << std::setw(11)
        << fixed(way.bytes, 0);
    for (const double number :
         {way.node_ms, way.send_ms, way.server_ms, way.total_ms(), way.millijoules, way.node_megabytes})
      out << std::setw(11) << short_number(number);
    out << std::setw(11) << (way.accuracy ? fixed(*way.accuracy, 2) + " %" : "-") << '\n';
  }
  out << "\n*  no other way is as good in time, energy, memory and accuracy and better in one of them\n";
  if (plan.found)
    out << ">  best " << plan.goal << bounds_text(options.bounds) << ": "
        << describe(plan, plan.ways[plan.best]) << '\n';
  return out.str();
}

std::string json(const Plan& plan, const Options& options) {
  const Link& link = options.link;
  const auto truth = [](bool value) { return value ? "true" : "false"; };
  std::ostringstream out;
  out << "{\"model\": " << json_quoted(plan.model) << ", \"metric\": " << json_quoted(plan.metric)
      << ", \"pictures\": " << plan.pictures << ", \"node_scale\": " << options.node_scale
      << ", \"server_scale\": " << options.server_scale
      << ", \"node_watts\": " << options.node_watts.value_or(0)
      << ",\n \"link\": {\"name\": " << json_quoted(std::string(link.name))
      << ", \"bits_per_second\": " << link.bits_per_second
      << ", \"joules_per_byte\": " << link.joules_per_byte << ", \"packet_bytes\": " << link.packet_bytes
      << ", \"latency_ms\": " << link.latency_ms << ", \"session_joules\": " << link.session_joules
      << "},\n \"goal\": " << json_quoted(plan.goal)
      << ", \"best\": " << (plan.found ? std::to_string(plan.best) : "null") << ",\n \"ways\": [";
  for (const Way& way : plan.ways)
    out << (&way == plan.ways.data() ? "\n" : ",\n")
        << "  {\"sends\": " << json_quoted(what_is_sent(plan, way)) << ", \"cut\": " << json_quoted(way.cut)
        << ", \"method\": " << json_quoted(way.method)
        << ", \"coded\": " << truth(way.sends == Sends::coded_bits) << ", \"bytes\": " << fixed(way.bytes, 1)
        << ", \"node_ms\": " << fixed(way.node_ms, 5) << ", \"send_ms\": " << fixed(way.send_ms, 5)
        << ", \"server_ms\": " << fixed(way.server_ms, 5) << ", \"energy_mj\": " << fixed(way.millijoules, 6)
        << ", \"node_mb\": " << fixed(way.node_megabytes, 4)
        << ", \"accuracy\": " << (way.accuracy ? fixed(*way.accuracy, 4) : "null")
        << ", \"within_bounds\": " << truth(options.bounds.excess(way) == 0)
        << ", \"pareto\": " << truth(is_pareto_optimal(way, plan.ways)) << "}";
  out << "\n ]}\n";
  return out.str();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Times every cut of a model on this machine, adds what a link costs, and says which way from a "
      "picture\n"
      "to its answer is best: by bits at a cut, by the picture itself, or with the whole model on the node.\n"
      "Ends with 1 if no way is within the bounds.",
      "plan");
  app.footer(
      "Examples: plan resnet-cifar10-layer*.safetensors --pictures cifar10/test --link nb-iot --node-scale "
      "12\n"
      "          plan resnet50.safetensors --picture-bytes 30000 --goodput 5e6 --energy-per-byte 1e-6");
  Options options;
  std::vector<std::string> files, results;
  std::string json_path = "/dev/null";
  PreprocessOptions preprocess;
  app.add_option("FILES", files, "A whole model, or nodes and servers of deployments of one model")
      ->required();
  app.add_option("--results", results, "What evaluate --json measured: accuracies, instead of the files' own")
      ->check(no_weights());
  app.add_option("--json", json_path, "Also write all figures to this file, for plan.py to plot");
  add_threads_option(app);
  options.add_to(app);
  preprocess.add_to(app);

  return run(app, argc, argv, [&]() -> Result<void> {
    if (options.link.bits_per_second == 0 || options.link.joules_per_byte == 0)
      throw CLI::RequiredError("--link, or --goodput with --energy-per-byte,");
    QCNET_TRY(Planner planner, Planner::make(files, preprocess, options, results));
    QCNET_TRY(OutputFile json_file, OutputFile::open(json_path));  // now, not after minutes of work
    QCNET_TRY(const Plan plan, planner.run());
    json_file.stream() << json(plan, options);
    QCNET_CHECK(json_file.commit());
    std::cout << table(plan, options);
    if (plan.found) return {};
    return Error("no way is" + bounds_text(options.bounds) +
                 "; nearest is: " + describe(plan, plan.ways[plan.best]));
  });
}

// A dataset with answers, and how good a model's are: all in which tasks differ, seen from the programs.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include <qcnet/layers/executor.hpp>
#include <qcnet/split/deployment.hpp>
#include <qcnet/vision/image.hpp>

namespace examples {

/// What one network answered to pictures of a benchmark.
class Score {
 public:
  virtual ~Score() = default;

  /// Judges the network's last run, which was for picture `i` of the dataset, of that size. Error: the
  /// annotation or the network's output cannot be read.
  virtual qcnet::Result<void> add(const qcnet::Executor& network, std::size_t i, qcnet::PictureSize size) = 0;

  /// The benchmark's metric over what was added, in percent.
  virtual double percent() const = 0;
  /// How sure that is, as a column of a table, or nothing; and all figures as members of a JSON object.
  virtual std::string interval() const { return {}; }
  virtual std::string json() const = 0;
  /// The same in a sentence.
  virtual std::string report() const = 0;

  /// What picture `n`, counted from 0 in the order of `add`, was taken for; and what is in it.
  virtual std::string answer(std::size_t n) const = 0;
  virtual std::string truth(std::size_t n) const = 0;
};

/// Pictures of which it is known what is in them.
class Benchmark {
 public:
  struct Picture {
    qcnet::vision::Image image;
    std::string name;  ///< its file, if it has one
  };

  virtual ~Benchmark() = default;
  /// Title of the metric's column; of the column of intervals, empty if there is none.
  virtual std::string metric() const = 0;
  virtual std::string interval_title() const { return {}; }
  virtual std::size_t size() const = 0;
  /// Picture `i`, below `size()`.
  virtual qcnet::Result<Picture> get(std::size_t i) const = 0;
  /// Begins to count for a network (or a tail) whose file says `about`; not longer than this object lives.
  /// Error: it knows other classes.
  virtual qcnet::Result<std::unique_ptr<Score>> score(const qcnet::Deployment& about,
                                                      const qcnet::Executor& network) const = 0;
};

}  // namespace examples

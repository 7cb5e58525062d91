#include "../../examples/common/output_file.hpp"

#include "files.hpp"

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <string>
#include <utility>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

using examples::OutputFile;

namespace {

std::size_t files_in(const TemporaryFolder& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder.path), std::filesystem::directory_iterator{}));
}

}  // namespace

TEST_CASE("A file appears whole, or stays what it was") {
  const TemporaryFolder folder;
  const std::string old = folder.write("old", "old"), fresh = folder.path + "/new";
  for (const std::string& path : {old, fresh}) {
    {
      auto file = OutputFile::open(path).value();
      file.stream() << "half";
    }
    CHECK(read_file(path) == (path == old ? "old" : ""));
    CHECK(files_in(folder) == 1);
  }
  for (const std::string& path : {old, fresh}) {
    auto file = OutputFile::open(path).value();
    file.stream() << "whole";
    CHECK(file.commit().ok());
    CHECK(read_file(path) == "whole");
  }
  CHECK(files_in(folder) == 2);
}

TEST_CASE("A file that is written anew keeps its permissions") {
  const TemporaryFolder folder;
  const std::string path = folder.write("old", "old");
  const auto mode = std::filesystem::perms{0640};
  std::filesystem::permissions(path, mode);
  auto file = OutputFile::open(path).value();
  CHECK(file.commit().ok());
  CHECK(std::filesystem::status(path).permissions() == mode);
}

TEST_CASE("Two processes that write one file leave the one's or the other's, whole") {
  const TemporaryFolder folder;
  const std::string path = folder.path + "/file";
  auto ours = OutputFile::open(path).value();
  ours.stream() << "ours" << std::flush;
  const pid_t child = fork();
  if (child == 0) {
    auto theirs = OutputFile::open(path).value();
    theirs.stream() << "theirs, longer";
    _exit(theirs.commit().ok() ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(read_file(path) == "theirs, longer");
  CHECK(ours.commit().ok());
  CHECK(read_file(path) == "ours");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("A program that is told to end leaves nothing half written") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const TemporaryFolder folder;
    const pid_t child = fork();
    if (child == 0) {
      auto finished = OutputFile::open(folder.path + "/finished").value();
      auto file = OutputFile::open(folder.path + "/file").value();
      const OutputFile moved = std::move(file);
      if (!finished.commit().ok()) _exit(1);
      std::raise(signal);
      _exit(2);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == signal);
    CHECK(files_in(folder) == 1);
  }
}

TEST_CASE("What is no regular file is written through, what cannot be written is said") {
  const TemporaryFolder folder;
  const std::string target = folder.write("target", "old"), link = folder.path + "/link";
  std::filesystem::create_symlink(target, link);
  auto through = OutputFile::open(link).value();
  through.stream() << "new";
  CHECK(through.commit().ok());
  CHECK(std::filesystem::is_symlink(link));
  CHECK(read_file(target) == "new");

  CHECK(OutputFile::open(folder.path).error().message() == folder.path + ": is a folder");
  const std::string nowhere = folder.path + "/no/file";
  CHECK(OutputFile::open(nowhere).error().message() ==
        nowhere + ": cannot be created; may this folder be written?");
  auto full = OutputFile::open("/dev/full").value();
  full.stream() << "no space";
  CHECK(full.commit().error().message() == "/dev/full: cannot be written; is the disk full?");
}

#include "files.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include <qcnet/io/mapped_file.hpp>

#include <doctest/doctest.h>
#include <sys/stat.h>

using qcnet::io::MappedFile;

TEST_CASE("mapped_file: shows the bytes, also after moves") {
  const TemporaryFile file("map", "hello");
  auto mapped = MappedFile::open(file.path).value();
  const std::byte* data = mapped.bytes().data();
  MappedFile moved = std::move(mapped);
  CHECK(moved.bytes().data() == data);
  CHECK(moved.bytes().size() == 5);
  CHECK(moved.bytes()[1] == std::byte{'e'});
  CHECK(moved.check_size().ok());
  const TemporaryFile other("map2", "other file");
  moved = MappedFile::open(other.path).value();
  CHECK(moved.bytes().size() == 10);
}

TEST_CASE("mapped_file: an empty file has no bytes") {
  const TemporaryFile file("empty", "");
  const auto mapped = MappedFile::open(file.path).value();
  CHECK(mapped.bytes().empty());
  CHECK(mapped.check_size().ok());
}

TEST_CASE("mapped_file: what is no readable file is an error that names it") {
  CHECK(MappedFile::open("/no/such/file").error().message() ==
        "/no/such/file: cannot be opened: No such file or directory");
  const std::string folder = std::filesystem::temp_directory_path().string();
  CHECK(MappedFile::open(folder).error().message() == folder + ": is a folder, expected a file");
  const TemporaryFile pipe("pipe", "");
  std::filesystem::remove(pipe.path);
  REQUIRE(::mkfifo(pipe.path.c_str(), 0600) == 0);
  CHECK(MappedFile::open(pipe.path).error().message() == pipe.path + ": is not a regular file");
}

TEST_CASE("mapped_file: a file that shrinks is noticed, one that grows or goes is no trouble") {
  std::optional<TemporaryFile> file(std::in_place, "shrink", std::string(10000, 'x'));
  const auto mapped = MappedFile::open(file->path).value();
  std::filesystem::resize_file(file->path, 20000);
  CHECK(mapped.check_size().ok());
  std::filesystem::resize_file(file->path, 9999);
  CHECK(mapped.check_size().error().message() ==
        "the file was cut from 10000 to 9999 bytes after it was opened");
  std::filesystem::resize_file(file->path, 10000);
  file.reset();
  CHECK(mapped.check_size().ok());
  CHECK(mapped.bytes().size() == 10000);
}

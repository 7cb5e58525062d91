#include <qcnet/split/replay_guard.hpp>

#include <doctest/doctest.h>

TEST_CASE("replay_guard: only rising sequence numbers pass") {
  qcnet::ReplayGuard guard;
  CHECK(guard.accept(0).ok());
  CHECK_FALSE(guard.accept(0).ok());
  CHECK(guard.accept(1).ok());
  CHECK(guard.accept(9).ok());
  CHECK(guard.accept(7).error().message() ==
        "frame 7 comes after frame 9: it was replayed or overtaken, or its node began anew, which takes a "
        "new connection");
  CHECK(guard.accept(10).ok());  // a refused frame changes nothing
  CHECK(guard.accept(~std::uint64_t{0}).ok());
  CHECK_FALSE(guard.accept(~std::uint64_t{0}).ok());
  CHECK_FALSE(guard.accept(0).ok());
}

// One of two translation units that both include the whole library: a definition that is not inline would
// clash.
#include <string_view>

#include <qcnet/qcnet.hpp>

const char* isa_of_the_other();

int main() {
  const qcnet::Tensor tensor({1, 2, 3, 4});
  return std::string_view(qcnet::isa_name) == isa_of_the_other() && tensor.span().size() == 24 ? 0 : 1;
}

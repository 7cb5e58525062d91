#include <qcnet/qcnet.hpp>

const char* isa_of_the_other();
const char* isa_of_the_other() {
  return qcnet::isa_name;
}

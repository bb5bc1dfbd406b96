// The program `cairn`: one process, one command line. What a command does is in its cmd_NAME.cpp.
#include <string>
#include <vector>

#include "apps/cairn/command.h"

int main(int argc, char** argv) {
  cairn::app::StopFlag stop;
  cairn::app::Session session(stop);
  return cairn::app::run_command_line(std::vector<std::string>(argv + 1, argv + argc), session);
}

// hub_server.py for tests: a hub of models over HTTPS that behaves badly.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace cairn::io {

// The server as a child that ends when its stdin does.
class HubServer {
 public:
  explicit HubServer(const std::string& folder) {
    int in[2] = {}, out[2] = {};
    if (pipe(in) != 0 || pipe(out) != 0) return;
    const std::string script = CAIRN_SOURCE_DIR "/tests/io/hub_server.py";
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      for (const int end : {in[0], in[1], out[0], out[1]}) close(end);
      execlp("python3", "python3", script.c_str(), folder.c_str(), nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    in_ = in[1];
    FILE* answer = fdopen(out[0], "r");
    if (std::fscanf(answer, "%d", &port_) != 1) port_ = 0;
    std::fclose(answer);
  }
  ~HubServer() {
    close(in_);
    waitpid(pid_, nullptr, 0);
  }
  HubServer(const HubServer&) = delete;
  HubServer& operator=(const HubServer&) = delete;
  // 0 where python3 or openssl is missing. Its certificate is cert.pem in the folder.
  int port() const { return port_; }

 private:
  pid_t pid_ = 0;
  int in_ = -1, port_ = 0;
};

}  // namespace cairn::io

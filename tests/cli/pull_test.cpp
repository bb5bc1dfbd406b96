// cairn data pull from a local HTTPS server.
#include <filesystem>

#include "cairn/io/curl_api.h"
#include "tests/cli/program.h"
#include "tests/io/hub_server.h"

namespace cairn::test {
namespace {

TEST_F(CliTest, DataPull) {
  const io::HubServer server(path(""));
  if (!io::curl::open()) GTEST_SKIP() << "libcurl is not installed";
  if (server.port() == 0) GTEST_SKIP() << "python3 or openssl is not installed";
  const auto pull = [&](std::vector<std::string> arguments, bool trusted = true) {
    arguments.insert(arguments.begin(), {"data", "pull"});
    std::vector<std::string> environment = {"HF_ENDPOINT=https://localhost:" +
                                            std::to_string(server.port())};
    if (trusted) environment.push_back("SSL_CERT_FILE=" + path("cert.pem"));
    return cairn(arguments, {.folder = path(""), .environment = environment});
  };
  const auto json = pull({"org/good", "--json"}).json();
  EXPECT_EQ(json["out"], "good");
  EXPECT_EQ(json["files"].size(), 4u);
  EXPECT_EQ(json["commit"], "0123456789abcdef0123456789abcdef01234567");
  for (const auto& file : json["files"]) {
    EXPECT_TRUE(file["fetched"]);
    EXPECT_EQ(std::filesystem::file_size(path("good/" + file["path"].get<std::string>())),
              file["bytes"]);
  }
  for (const auto& file : pull({"org/good", "--json"}).json()["files"])
    EXPECT_FALSE(file["fetched"]);
  EXPECT_EQ(pull({"org/gguf", "--only", "*Q8_0*", "--out", "elsewhere"}).status, 0);
  EXPECT_TRUE(std::filesystem::exists(path("elsewhere/m-Q8_0.gguf")));
  EXPECT_TRUE(fails(pull({"org/gguf"}), 1, "choose by --only"));
  EXPECT_TRUE(fails(pull({"org/absent"}), 1, "answers 404"));
  EXPECT_TRUE(fails(pull({"org/gated"}), 1, "set HF_TOKEN"));
  EXPECT_TRUE(fails(pull({"nobody"}), 1, "expected ORG/MODEL"));
  EXPECT_TRUE(fails(pull({"org/good"}, false), 1, "SSL_CERT_FILE"));
}

}  // namespace
}  // namespace cairn::test

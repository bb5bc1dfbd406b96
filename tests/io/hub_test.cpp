// Downloads from a local HTTPS server (hub_server.py) that drops connections, lies and refuses.
#include "cairn/io/hub.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "cairn/io/curl_api.h"
#include "tests/io/hub_server.h"
#include "tests/io/temporary_folder.h"
#include "tests/support/test_data.h"

namespace cairn::io {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class Hub : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = std::make_unique<TemporaryFolder>();
    server_ = std::make_unique<HubServer>(*files_ / "");
  }
  static void TearDownTestSuite() {
    server_.reset();
    files_.reset();
  }
  void SetUp() override {
    if (!curl::open()) GTEST_SKIP() << "libcurl is not installed";
    if (server_->port() == 0) GTEST_SKIP() << "python3 or openssl is not installed";
    fs::remove(*files_ / "requests");
    options_.endpoint = "https://localhost:" + std::to_string(server_->port());
    options_.ca_file = *files_ / "cert.pem";
    options_.wait_seconds = 0.01;
    options_.attempts = 4;
    options_.retried = [this](const std::string& why) { retried_.push_back(why); };
  }

  // Lists and fetches what a model needs; the error's text where there is one.
  std::string pull(const std::string& model) {
    const auto listing = list_hub_model("org/" + model, options_);
    if (!listing) return listing.error().what();
    const auto files = choose_hub_files(listing.value(), only_);
    if (!files) return files.error().what();
    for (const HubFile& file : files.value()) {
      uint64_t bytes = 0;
      const auto there = fetch_hub_file("org/" + model, listing.value().commit, file, to_ / "",
                                        options_, [&](uint64_t now) { bytes = now; });
      if (!there) return there.error().what();
      EXPECT_EQ(bytes, file.size);
      fetched_ += !there.value();
    }
    return "";
  }
  std::string requests() const { return read_bytes(*files_ / "requests"); }
  static std::string large() {
    std::string bytes;
    for (int i = 0; i < 300'000; ++i) bytes += static_cast<char>((i * 7 + i / 251) % 256);
    return bytes;
  }

  static inline std::unique_ptr<TemporaryFolder> files_;
  static inline std::unique_ptr<HubServer> server_;
  HubOptions options_;
  TemporaryFolder to_;
  std::vector<std::string> only_, retried_;
  int fetched_ = 0;
};

TEST_F(Hub, FetchesWhatAModelNeeds) {
  ASSERT_EQ(pull("good"), "");
  EXPECT_EQ(read_bytes(to_ / "config.json"), "{\"model_type\": \"llama\"}\n");
  EXPECT_TRUE(read_bytes(to_ / "model.safetensors") == large());
  EXPECT_EQ(read_bytes(to_ / "with space.json"), "{}");
  EXPECT_TRUE(fs::exists(to_ / "empty.json"));
  EXPECT_FALSE(fs::exists(to_ / "pytorch_model.bin"));
  EXPECT_EQ(to_.files(), 4);  // nothing is left beside
  EXPECT_EQ(fetched_, 4);
  // Again: everything is there.
  fetched_ = 0;
  ASSERT_EQ(pull("good"), "");
  EXPECT_EQ(fetched_, 0);
  // What is damaged is fetched again.
  write_bytes(to_ / "config.json", "{\"model_type\": \"lxxxx\"}\n");
  ASSERT_EQ(pull("good"), "");
  EXPECT_EQ(fetched_, 1);
  EXPECT_EQ(read_bytes(to_ / "config.json"), "{\"model_type\": \"llama\"}\n");
}

TEST_F(Hub, GoesOnAfterEachDrop) {
  ASSERT_EQ(pull("drops"), "");
  EXPECT_TRUE(read_bytes(to_ / "model.safetensors") == large());
  EXPECT_EQ(retried_.size(), 3u);
  EXPECT_THAT(requests(), HasSubstr("model.safetensors bytes=90000- \"one\""));
  EXPECT_THAT(requests(), HasSubstr("model.safetensors bytes=270000- \"one\""));
}

TEST_F(Hub, GoesOnInTheNextCall) {
  options_.attempts = 1;
  EXPECT_THAT(pull("drops-too"), HasSubstr("'model.safetensors'"));
  EXPECT_EQ(fs::file_size(to_ / "model.safetensors.part"), 90'000u);
  EXPECT_FALSE(fs::exists(to_ / "model.safetensors"));
  options_.attempts = 4;
  ASSERT_EQ(pull("drops-too"), "");
  EXPECT_TRUE(read_bytes(to_ / "model.safetensors") == large());
}

TEST_F(Hub, BeginsAnewWhereItCannotGoOn) {
  for (const char* model : {"no-ranges", "changes", "weak"}) {
    SCOPED_TRACE(model);
    fs::remove(to_ / "model.safetensors");
    ASSERT_EQ(pull(model), "");
    EXPECT_TRUE(read_bytes(to_ / "model.safetensors") == large());
  }
  EXPECT_THAT(requests(), HasSubstr("weak/resolve/0123456789abcdef0123456789abcdef01234567/"
                                    "model.safetensors - -"));
  fs::remove(to_ / "model.safetensors");
  EXPECT_THAT(pull("other-range"), HasSubstr("another part"));
}

// Bytes of another file under the name of a part: the checksum says so.
TEST_F(Hub, APartOfAnotherVersionIsNotKept) {
  write_bytes(to_ / "model.safetensors.part", std::string(1000, 'x'));
  write_bytes(to_ / "model.safetensors.part.etag", "\"one\"");
  ASSERT_EQ(pull("good"), "");
  EXPECT_TRUE(read_bytes(to_ / "model.safetensors") == large());
}

TEST_F(Hub, LiesAreErrors) {
  EXPECT_THAT(pull("lies-short"), HasSubstr("sends more than the 299000 bytes"));
  EXPECT_THAT(pull("lies-long"), HasSubstr("it ends after 300000 of 301000 bytes"));
  fs::remove(to_ / "model.safetensors.part");
  EXPECT_THAT(pull("damaged"), HasSubstr("'model.safetensors': its checksum"));
  EXPECT_FALSE(fs::exists(to_ / "model.safetensors"));
  EXPECT_FALSE(fs::exists(to_ / "model.safetensors.part"));
  fs::remove(to_ / "config.json");
  EXPECT_THAT(pull("damaged-small"), HasSubstr("'config.json': its checksum"));
  EXPECT_THAT(pull("evil"), HasSubstr("'../outside.json', whose path leaves the folder"));
  EXPECT_THAT(pull("nonsense"), HasSubstr("no JSON"));
}

TEST_F(Hub, RefusalsSayWhatToDo) {
  EXPECT_THAT(pull("absent"), HasSubstr("answers 404; check the name"));
  EXPECT_THAT(pull("gated"), HasSubstr("set HF_TOKEN"));
  options_.token = "wrong";
  EXPECT_THAT(pull("gated"), HasSubstr("HF_TOKEN gives no access"));
  options_.token = "secret";
  EXPECT_EQ(pull("gated"), "");
  options_.token = "";
  EXPECT_TRUE(retried_.empty());
  EXPECT_EQ(pull("busy"), "");  // after two answers of 429
  EXPECT_EQ(retried_.size(), 2u);
  EXPECT_THAT(pull("broken"), HasSubstr("answers 503"));
  EXPECT_EQ(retried_.size(), 5u);
  fs::remove(to_ / "model.safetensors");
  EXPECT_THAT(pull("lost"), HasSubstr("'model.safetensors': the server answers 404"));
  EXPECT_THAT(pull("stops"), HasSubstr("'model.safetensors'"));
}

// The file lies on another host's path; the bytes and the version are of the last answer.
TEST_F(Hub, FollowsRedirects) {
  ASSERT_EQ(pull("redirects"), "");
  EXPECT_TRUE(read_bytes(to_ / "model.safetensors") == large());
}

TEST_F(Hub, CertificatesAreChecked) {
  options_.ca_file = "";
  options_.attempts = 1;
  EXPECT_THAT(pull("good"), HasSubstr("SSL_CERT_FILE"));
  options_.endpoint = "https://localhost:1";
  EXPECT_THAT(pull("good"), HasSubstr("cannot list org/good"));
}

TEST_F(Hub, StopsWhenTold) {
  options_.goes_on = [] { return false; };
  EXPECT_THAT(pull("good"), HasSubstr("stopped"));
}

TEST_F(Hub, ChoosesAmongGgufFiles) {
  EXPECT_THAT(pull("gguf"), HasSubstr("several models; choose by --only"));
  EXPECT_THAT(pull("pickle"), HasSubstr("no safetensors and no GGUF file; there are\n  pytorch"));
  only_ = {"*Q8_0*"};
  ASSERT_EQ(pull("gguf"), "");
  EXPECT_EQ(to_.files(), 1);
  only_ = {"*.none"};
  EXPECT_THAT(pull("gguf"), HasSubstr("no file matches *.none"));
}

TEST_F(Hub, LinksThatLeadOutAreNotFollowed) {
  const TemporaryFolder outside;
  fs::create_directory_symlink(outside / "", to_ / "original");
  only_ = {"original/*"};
  EXPECT_THAT(pull("good"), HasSubstr("outside of"));
  EXPECT_EQ(outside.files(), 0);
}

TEST(HubNames, AreChecked) {
  for (const char* name : {"", "model", "a/b/c", "../b", "a/..", "a/b?c", "a /b", "a/b\n"})
    EXPECT_THROW((void)list_hub_model(name, {}), Error) << name;
}

TEST(HubListing, IsForeign) {
  const std::string commit = "\"sha\": \"0123456789abcdef0123456789abcdef01234567\"";
  const auto error = [&](const std::string& files) -> std::string {
    const auto listing = parse_hub_listing("{" + commit + ", \"siblings\": " + files + "}");
    return listing ? "" : listing.error().what();
  };
  EXPECT_EQ(error(R"([{"rfilename": "a/b.json", "size": 3}])"), "");
  for (const char* path : {"/etc/passwd", "a/../../b", "..", "a//b", "./a", "a\\\\b", "a\\nb", ""})
    EXPECT_THAT(error(std::string(R"([{"size": 3, "rfilename": ")") + path + "\"}]"),
                HasSubstr("path leaves the folder"))
        << path;
  EXPECT_THAT(error(R"([{"rfilename": "a"}])"), HasSubstr("size of 'a'"));
  EXPECT_THAT(error(R"([{"rfilename": "a", "size": -1}])"), HasSubstr("size of 'a'"));
  EXPECT_THAT(error(R"([{"rfilename": "a", "size": 9000000000000000000}])"), HasSubstr("bytes"));
  EXPECT_THAT(error(R"([{"rfilename": "a", "size": 1}, {"rfilename": "a", "size": 1}])"),
              HasSubstr("twice"));
  EXPECT_THAT(error(R"([{"rfilename": "a", "size": 1, "blobId": "x"}])"), HasSubstr("checksum"));
  EXPECT_THAT(error("{}"), HasSubstr("siblings"));
  EXPECT_THAT(parse_hub_listing("[]").error().what(), HasSubstr("commit"));
}

}  // namespace
}  // namespace cairn::io

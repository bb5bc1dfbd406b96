#include "cairn/text/pipeline_tokenizer.h"

#include <algorithm>

#include <fmt/format.h>

#include "cairn/text/json_view.h"
#include "cairn/text/pipeline_model.h"
#include "cairn/text/pipeline_steps.h"
#include "cairn/text/utf8.h"

namespace cairn::text {
namespace {

struct Pipeline {
  std::vector<std::string> keys;  // by id
  std::vector<int32_t> of_model;  // ids that the model may give
  std::vector<Normalize> normalizers;
  std::vector<Cut> cuts;
  Decoding decoding;

  explicit Pipeline(JsonView root, const std::vector<AddedToken>& added)
      : normalizers(read_normalizers(root)), cuts(read_cuts(root)), decoding(read_decoding(root)) {
    const JsonView model = root.member("model");
    TokenList list(model.member("vocab").size() + added.size());
    std::unordered_map<std::string, int64_t> ids;
    each_token(model, [&](const std::string& key, int64_t id) {
      list.put(id, key, key);
      ids.emplace(key, id);
      of_model.push_back(static_cast<int32_t>(id));
    });
    for (const AddedToken& token : added) {
      const auto found = ids.find(token.content);
      if (found == ids.end()) {
        list.put(token.id, token.content, token.content);
      } else if (found->second != token.id) {
        throw_error(fmt::format("added token '{}' has id {}, and {} in the vocabulary",
                                token.content, token.id, found->second));
      }
    }
    keys = list.take();
  }

  std::string normalized(std::string_view text) const {
    std::string out = replace_invalid_utf8(text);
    for (const Normalize& step : normalizers) out = step(std::move(out));
    return out;
  }

  Vocabulary with_tokens(Vocabulary vocabulary) const {
    for (const std::string& key : keys)
      vocabulary.tokens.push_back(key.empty() ? "" : decoding.text(key, false));
    return vocabulary;
  }
};

class PipelineTokenizer final : public Tokenizer {
 public:
  PipelineTokenizer(JsonView root, Pipeline pipeline, Vocabulary vocabulary)
      : Tokenizer(pipeline.with_tokens(std::move(vocabulary))),
        pipeline_(std::move(pipeline)),
        json_(root.dump()) {
    for (const int32_t id : pipeline_.of_model)
      if (!key(id).empty()) ids_.emplace(key(id), id);
    model_ = read_word_model(root.member("model"), ids_);
    for (AddedToken token : this->vocabulary().added) {
      if (!token.normalized) continue;
      token.content = pipeline_.normalized(token.content);
      token.normalized = false;
      if (!token.content.empty()) normalized_added_.push_back(std::move(token));
    }
    finder_ = AddedTokenFinder(normalized_added_);
  }

  std::string to_json() const override { return json_; }

 protected:
  void encode_segments(std::string_view text, std::span<const Segment> segments,
                       EncodeOptions options, std::vector<int32_t>& ids) const override {
    for (const Segment& segment : segments) {
      if (segment.token) {
        ids.push_back(*segment.token);
        continue;
      }
      const std::string clean = pipeline_.normalized(segment.text);
      const bool first = segment.text.data() == text.data();
      // A normalized text has lost its places: what holds one where no token may begin has none.
      const auto begin = static_cast<size_t>(segment.text.data() - text.data());
      const auto place = std::ranges::lower_bound(options.plain_at, begin);
      const bool is_plain = place != options.plain_at.end() && *place < begin + segment.text.size();
      for (const Segment& part : finder_.find(clean, options.parse_special && !is_plain)) {
        if (part.token)
          ids.push_back(*part.token);
        else
          encode_text(part.text, first && part.text.data() == clean.data(), ids);
      }
    }
  }

  std::string decode_ids(std::span<const int32_t> ids,
                         std::span<const int32_t> after) const override {
    const Decoding& how = pipeline_.decoding;
    std::string out;
    size_t stripped = after.empty() ? 0 : how.strip_count;
    for (size_t i = 0; i < ids.size(); ++i) {
      (void)token_bytes(ids[i]);  // throws on ids outside of the vocabulary
      const bool first = i == 0 && after.empty();
      if (!first && !how.word_end.empty()) {
        const int32_t before = i > 0 ? ids[i - 1] : after.back();
        if (key(before).ends_with(how.word_end)) out += ' ';
      }
      out += how.text(std::string(key(ids[i])), first);
      for (; stripped < how.strip_count && !out.empty(); ++stripped) {
        if (out.starts_with(how.strip))
          out.erase(0, how.strip.size());
        else
          stripped = how.strip_count - 1;
      }
    }
    return out;
  }

 private:
  std::string_view key(int32_t id) const {
    const auto index = static_cast<size_t>(id);
    return index < pipeline_.keys.size() ? std::string_view(pipeline_.keys[index]) : "";
  }

  void encode_text(std::string_view text, bool first, std::vector<int32_t>& ids) const {
    std::vector<TextPiece> pieces = {{std::string(text), first}};
    for (const Cut& cut : pipeline_.cuts) cut(pieces);
    for (const TextPiece& piece : pieces)
      if (!piece.text.empty()) model_->encode(piece.text, ids);
  }

  Pipeline pipeline_;
  std::string json_;  // as large as the file
  TokenKeys ids_;     // of the model; views of the pipeline's keys
  std::unique_ptr<WordModel> model_;
  std::vector<AddedToken> normalized_added_;
  AddedTokenFinder finder_;
};

}  // namespace

std::unique_ptr<Tokenizer> make_pipeline_tokenizer(JsonView root, Vocabulary from) {
  Pipeline pipeline(root, from.added);
  const auto count = static_cast<int64_t>(pipeline.keys.size());
  const auto require = [&](int32_t id, const char* role) {
    if (id < 0 || id >= count)
      throw_error(
          fmt::format("the id {} of {} is not in the vocabulary of {} tokens", id, role, count));
  };
  for (const int32_t id : from.prefix) require(id, "the template");
  for (const int32_t id : from.suffix) require(id, "the template");
  if (from.bos) require(*from.bos, "BOS");
  if (from.eos) require(*from.eos, "EOS");
  if (pipeline.normalizers.empty())
    for (AddedToken& token : from.added) token.normalized = false;
  return std::make_unique<PipelineTokenizer>(root, std::move(pipeline), std::move(from));
}

}  // namespace cairn::text

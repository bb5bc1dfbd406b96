#!/usr/bin/env python3
"""Writes tests/golden/text/pipelines.json and the small Unigram models beside it.

    pip install tokenizers sentencepiece
    tools/goldens/make_pipelines.py [--check build/release/bin/cairn]

Tokenizers with every component of tokenizer.json that cairn reads, made with `tokenizers`, and the ids and
texts that it gives; Unigram models by `sentencepiece`. --check compares the program with both on more
texts, and with the map of characters of nmt_nfkc, which is too large for the goldens.
"""
import argparse
import base64
import io
import json
import pathlib
import random
import subprocess
import tempfile
import unicodedata

import sentencepiece
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

GOLDEN = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "golden" / "text"

ENGLISH = (
    "The quick brown fox jumps over the lazy dog. The dog, who was not so lazy after all, jumped back over the "
    "fox; they're friends now, aren't they? In 2024 they met 17 more foxes and 365 dogs.\nA fox is quicker than "
    "a dog, and a dog is louder than a fox: it jumps, it jumped, it is jumping. Caf\u00e9, na\u00efve, \u4e16\u754c!\n")

TEXTS = [
    "", " ", "  ", "The quick brown fox", " leading", "trailing ", "  two   spaces  inside  ", "\t\n", "a",
    "It's 12345 foxes, isn't it?\n\n  Yes!\n", "caf\u00e9 cafe\u0301 CAF\u00c9 \u00c5\u030a \u0130stanbul \u03a3\u03a3",
    "\U0001f600\U0001f44d\U0001f3fd \U0001f469\u200d\U0001f467 \u2764\ufe0f", "\u4e16\u754c\u4f60\u597d abc\u4e16def \uff21\uff22\uff11\uff1f\u3000\ufb01",
    "a\tb\x0bc\x0cd\re\x85f\u00a0g\u2003h\u3000i\u200bj\ufeffk\u00adl", "don't DON'T 3.14 1,000 x-1 a_b __ \u2167\u00bd\u0663",
    "<s>a</s> <pad> b", "one<sep>two <sep> three", "foxword word fox words word", "\u2581low\u2581line \u2581\u2581 \u2581",
    "\u24b6\u24b7 \u0e2a\u0e27\u0e31 \u0928\u092e\u0938\u094d \u05e9\u05dc\u05d5\u05dd \u1100\u1161\u11a8", "\ufffd a\ufffdb \ue000 \u0378",
    "\r\n\r\na\r\nb", "$9.99+1=2 <tag/> `x` ~y^ |z| \u00ab\u00bb \u2014 \u20ac", "x" * 120, "ab" * 40 + "!" * 20,
    "\u0301alone e\u0301\u0323 n\u0303o \u1e69 s\u0323\u0307", "\u1112\u1161\u11ab\uae00", "dogdogdog foxfox  jumpjump",
    "\x01\x02 \x7f \x8f", "[CLS] [SEP] [UNK] [MASK]x", "Hello . do not , I 'm you 've it 's we 're ' x ' n't !",
]

PIECES = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]


def trained(tokenizer, trainer, extra=()):
    tokenizer.train_from_iterator([ENGLISH] * 4 + list(extra), trainer)
    return tokenizer


def bert(size=300, **normalizer):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer(**normalizer)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    trained(t, trainers.WordPieceTrainer(vocab_size=size, show_progress=False,
                                         special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    return t


def custom_charsmap():
    """A precompiled_charsmap of a few rules, by sentencepiece."""
    rules = {"\uff21": "A", "\uff11": "1", "e\u0301": "\u00e9", "\ufb01": "fi", "\t": " ", "\n": " ", "\r": " ",
             "\u3000": " ", "\u200b": "", "\u00ad": "", "\u00bd": "1/2", "\uff1f": "?", "\u00a0": " ", "\u0301": ""}
    with tempfile.TemporaryDirectory() as folder:
        rule_file = pathlib.Path(folder, "rules.tsv")
        rule_file.write_text("".join(
            " ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n"
            for a, b in rules.items()))
        return train_sentencepiece(normalization_rule_tsv=str(rule_file))


def train_sentencepiece(**options):
    model = io.BytesIO()
    options = {"vocab_size": 150, "model_type": "unigram", "hard_vocab_limit": False, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(ENGLISH.split("\n") * 5), model_writer=model,
                                             **options)
    return model.getvalue()


def charsmap_of(model):
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model)
    return proto.normalizer_spec.precompiled_charsmap


def unigram(pre=None, normalizer=None, decoder=None, **edit):
    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre_tokenizers.Metaspace()
    trained(t, trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", special_tokens=["<unk>", "<s>", "</s>"],
                                       show_progress=False))
    j = json.loads(t.to_str())
    if edit.get("byte_fallback"):
        j["model"]["vocab"] = j["model"]["vocab"][:3] + [[p, -20.0] for p in PIECES[3:]] + j["model"]["vocab"][3:]
    j["model"].update(edit)
    j["normalizer"], j["pre_tokenizer"], j["decoder"] = None, None, None
    t = Tokenizer.from_str(json.dumps(j))
    t.pre_tokenizer = pre or pre_tokenizers.Metaspace()
    if normalizer:
        t.normalizer = normalizer
    t.decoder = decoder or decoders.Metaspace()
    return t


def precompiled(model):
    return normalizers.Precompiled(charsmap_of(model))


def word_level(pre, normalizer=None):
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.pre_tokenizer = pre
    if normalizer:
        t.normalizer = normalizer
    # The pieces of the texts, so that each cut shows.
    return trained(t, trainers.WordLevelTrainer(vocab_size=3000, special_tokens=["[UNK]"], show_progress=False),
                   TEXTS * 2)


def made():
    out = {}
    t = bert(lowercase=True)
    t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    out["bert"] = t
    t = bert(lowercase=False, handle_chinese_chars=False)
    t.decoder = decoders.WordPiece(cleanup=False)
    out["bert_cased"] = t
    out["bert_accents"] = bert(lowercase=True, strip_accents=False, clean_text=False)
    P, N, D = pre_tokenizers, normalizers, decoders
    for name, pre in {
        "whitespace": P.Whitespace(), "whitespace_split": P.WhitespaceSplit(), "punctuation": P.Punctuation(),
        "punctuation_removed": P.Punctuation("removed"), "punctuation_contiguous": P.Punctuation("contiguous"),
        "digits": P.Sequence([P.Digits(False), P.Whitespace()]), "each_digit": P.Sequence([P.Digits(True)]),
        "delimiter": P.CharDelimiterSplit("o"),
        "with_previous": P.Split(" ", "merged_with_previous"), "with_next": P.Split(Regex("[aeiou]+"), "merged_with_next"),
        "with_previous_inverted": P.Split(Regex("[a-z]"), "merged_with_previous", invert=True),
        "with_next_inverted": P.Split(Regex("[a-z]"), "merged_with_next", invert=True),
        "contiguous": P.Split(Regex("[a-z ]"), "contiguous"), "isolated": P.Split("o", "isolated", invert=True),
        "removed": P.Split(Regex(r"\s+"), "removed"), "kept": P.Split(Regex(r"\w"), "removed", invert=True),
        "metaspace_first": P.Metaspace("_", "first"), "metaspace_never": P.Sequence([P.Digits(), P.Metaspace("\u2581", "never", split=False)]),
        "metaspace_words": P.Sequence([P.WhitespaceSplit(), P.Metaspace()]),
    }.items():
        out["cut_" + name] = word_level(pre)
    for name, normalizer in {
        "nfd": N.NFD(), "nfkc": N.NFKC(), "nfkd_lower": N.Sequence([N.NFKD(), N.Lowercase()]), "nfc_accents": N.Sequence([N.NFD(), N.StripAccents(), N.NFC()]),
        "strip": N.Strip(), "strip_left": N.Strip(True, False), "strip_right": N.Strip(False, True), "replace": N.Sequence([N.Replace("o", "00"), N.Replace(Regex(r"\s{2,}|[aeiou]"), "_")]),
        "prepend": N.Prepend("<<"), "nmt": N.Nmt(), "bytes": N.ByteLevel(),
    }.items():
        out["normalize_" + name] = word_level(P.WhitespaceSplit(), normalizer)
    # T5's and XLM-R's shapes.
    small_map = custom_charsmap()
    t = unigram(normalizer=N.Sequence([precompiled(small_map), N.Replace(Regex(" {2,}"), " ")]))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    out["t5"] = t
    t = unigram(P.Sequence([P.WhitespaceSplit(), P.Metaspace()]), precompiled(small_map))
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1))
    out["xlm"] = t
    # Llama's shape with Unigram and bytes.
    out["unigram_bytes"] = unigram(P.Metaspace("\u2581", "always", split=False), byte_fallback=True, decoder=D.Sequence([
        D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)]))
    # CLIP's and the first GPT's: ends of words.
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = N.Sequence([N.NFC(), N.Replace(Regex(r"\s+"), " "), N.Lowercase()])
    t.pre_tokenizer = P.Sequence([P.Whitespace()])
    t.decoder = D.BPEDecoder("</w>")
    out["word_ends"] = trained(t, trainers.BpeTrainer(vocab_size=250, end_of_word_suffix="</w>", show_progress=False,
                                                      special_tokens=["<unk>"]))
    # BPE with marks inside of words, and unknown characters one by one or together.
    for fuse in (False, True):
        t = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##", fuse_unk=fuse))
        t.pre_tokenizer = P.Whitespace()
        t.decoder = D.WordPiece(prefix="##")
        out[f"word_insides{'_fused' if fuse else ''}"] = trained(t, trainers.BpeTrainer(
            vocab_size=200, continuing_subword_prefix="##", show_progress=False, special_tokens=["<unk>"]))
    # Today's Llama 2: Metaspace instead of normalizers.
    t = Tokenizer(models.BPE())
    t.normalizer = N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")])
    trained(t, trainers.BpeTrainer(vocab_size=480, special_tokens=PIECES, show_progress=False))
    j = json.loads(t.to_str())
    j["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    j["added_tokens"] = [dict(x, normalized=False) for x in j["added_tokens"][:3]]
    j["normalizer"] = None
    t = Tokenizer.from_str(json.dumps(j))
    t.pre_tokenizer = P.Metaspace("\u2581", "first", split=False)
    t.decoder = D.Sequence([D.Replace("\u2581", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    out["llama_first"] = t
    # Bytes behind a normalizer; a space before each piece.
    t = Tokenizer(models.BPE())
    t.normalizer = N.Sequence([N.NFKC(), N.Lowercase()])
    t.pre_tokenizer = P.Sequence([P.Digits(True), P.ByteLevel(add_prefix_space=True)])
    t.decoder = D.ByteLevel()
    out["bytes_nfkc"] = trained(t, trainers.BpeTrainer(vocab_size=320, initial_alphabet=P.ByteLevel.alphabet(),
                                                       show_progress=False))
    # Added tokens of every kind.
    t = bert(lowercase=True)
    t.add_special_tokens([AddedToken("<s>", lstrip=True), AddedToken("</s>", rstrip=True)])
    t.add_tokens([AddedToken("word", single_word=True), AddedToken("<SEP>", normalized=True, lstrip=True, rstrip=True),
                  AddedToken("fox", normalized=True, single_word=True), AddedToken("Yes", normalized=False),
                  AddedToken("CAF\u00c9", normalized=True)])
    out["added"] = t
    return out


def expected(name, t, text):
    ids = t.encode(text, add_special_tokens=False).ids
    out = {"ids": ids}
    # Of an added token that is looked for in normalized text, `tokenizers` decodes the normalized one.
    if name != "added":
        out["decoded"] = t.decode(ids, skip_special_tokens=False)
    if t.post_processor:
        out["with_special"] = t.encode(text).ids
    return out


def sentencepiece_models():
    return {
        "unigram_map": custom_charsmap(),
        "unigram_bytes": train_sentencepiece(byte_fallback=True, vocab_size=400, normalization_rule_name="identity",
                                             remove_extra_whitespaces=False),
        "unigram_defined": train_sentencepiece(user_defined_symbols=["<sep>", "fox", "\u2581\u2581"], add_dummy_prefix=False,
                                               normalization_rule_name="identity"),
        "bpe_unknown": train_sentencepiece(model_type="bpe", vocab_size=120, normalization_rule_name="identity",
                                           user_defined_symbols=["<sep>"]),
    }


def sentencepiece_cases(model):
    p = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [None if "\0" in text else {"ids": p.encode(text), "decoded": p.decode(p.encode(text))} for text in TEXTS]


def write_seeds(pipelines, models):
    """Seeds of the fuzz targets: the small ones, cut to what parses."""
    corpus = GOLDEN.parent.parent / "fuzz" / "corpus"
    for name in ("t5", "added", "word_ends"):
        j = json.loads(pipelines[name]["json"])
        vocab = j["model"]["vocab"]
        if isinstance(vocab, dict):
            first = sorted(vocab.items(), key=lambda item: item[1])[:90]
            j["model"]["vocab"] = dict(first)
            j["model"]["merges"] = [m for m in j["model"].get("merges", [])
                                    if all(k in dict(first) for k in (*m, "".join(m)))]
            j["added_tokens"] = [dict(x, id=90 + i) if x["content"] not in dict(first) else x
                                 for i, x in enumerate(j["added_tokens"])]
        else:
            j["model"]["vocab"] = vocab[:60]
        (corpus / "text_tokenizer_json" / name).write_text(json.dumps(j))
    (corpus / "text_sentencepiece" / "unigram").write_bytes(models["unigram_map"])
    (corpus / "text_character_map").mkdir(exist_ok=True)
    (corpus / "text_character_map" / "small").write_bytes(charsmap_of(models["unigram_map"]))


def check(program, pipelines):
    """More texts, and the large map, through the program."""
    rng = random.Random(7)
    pool = "abcdefox \t\n.,'<>\u00e9e\u0301\u0323\u4e16\uff21\ufb01\u3000\u00a0\u2581\U0001f600\u0e31\u1100\u1161\u00bdXYZ\u0130\u03a3"
    texts = [ENGLISH] + ["".join(rng.choice(pool) for _ in range(rng.randrange(1, 200))) for _ in range(12)]
    # Every character of Unicode 3.2: the tables of `tokenizers` are of several later versions, so later
    # characters, and U+166D, which was punctuation, differ.
    alphabet = [chr(c) for c in range(1, 0x20000) if not 0xD800 <= c < 0xE000 and c != 0x166D
                and unicodedata.ucd_3_2_0.category(chr(c)) != "Cn"]
    texts += ["x".join(alphabet[i:i + 4096]) for i in range(0, len(alphabet), 4096)]

    def run(path, text):
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            out = subprocess.run([program, "tokenize", "--tokenizer", str(path), "--file", file.name,
                                  "--parse-special", "--json"], capture_output=True, check=True)
        return json.loads(out.stdout)["ids"]

    nmt = train_sentencepiece(normalization_rule_name="nmt_nfkc", vocab_size=200)
    wanted = {f"{name}.json": Tokenizer.from_str(p["json"]) for name, p in pipelines.items()}
    wanted["nmt_nfkc.json"] = unigram(normalizer=precompiled(nmt))
    wanted["nmt_nfkc.model"] = sentencepiece.SentencePieceProcessor(model_proto=nmt)
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, peer in wanted.items():
            path = pathlib.Path(folder, name)
            path.write_bytes(nmt) if name.endswith(".model") else path.write_text(peer.to_str())
            for text in texts:
                ids = peer.encode(text) if name.endswith(".model") else peer.encode(text, add_special_tokens=False).ids
                got = run(path, text)
                if got != ids:
                    bad += 1
                    if bad < 20:
                        print("DIFFERENT", name, ascii(text[:200]), ids[:40], got[:40])
            print(name, len(texts), "texts", flush=True)
    print(bad, "different")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", type=pathlib.Path, help="the program to compare on more texts")
    args = parser.parse_args()
    pipelines = {name: {"json": t.to_str(), "cases": [expected(name, t, text) for text in TEXTS]} for name, t in made().items()}
    if args.check:
        raise SystemExit(check(args.check, pipelines) > 0)
    models = sentencepiece_models()
    files = {"texts": TEXTS, "pipelines": pipelines, "sentencepiece": {}}
    for name, model in models.items():
        files["sentencepiece"][name] = {"model": base64.b64encode(model).decode(), "cases": sentencepiece_cases(model)}
    path = GOLDEN / "pipelines.json"
    path.write_text(json.dumps(files, separators=(",", ":")) + "\n")
    print(path.name, path.stat().st_size, "bytes,", len(pipelines), "pipelines")
    write_seeds(pipelines, models)


if __name__ == "__main__":
    main()

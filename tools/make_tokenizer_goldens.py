#!/usr/bin/env python3
"""Writes tests/golden/text: expected ids from Hugging Face's `tokenizers` and from tiktoken.

    pip install tokenizers transformers tiktoken regex xxhash
    tools/make_tokenizer_goldens.py --data ../shared/data

Three kinds of result:
  gpt2_cases.json    GPT-2 ids of strings written here, in full; both peers must agree on them.
                     Bytes that are not UTF-8 follow cairn's rule: cut as if U+FFFD stood for each
                     invalid unit, then merge the original bytes of each piece (tiktoken's merges).
  gpt2_files.json    GPT-2 ids of the files in data/text: their number and xxh64 (little-endian i32).
  hf_*.json          small tokenizers made with `tokenizers`, which cairn must read, and their ids.
It also loads the tokenizer.json files that cairn wrote (cairn_*.json there, which the tests compare
with what cairn writes now) into `tokenizers` and into transformers' AutoTokenizer, and writes the
ids that these give, for cairn to equal, to cairn_cases.json; and it writes the seeds of the text_*
fuzz targets.
"""
import argparse
import json
import pathlib
import shutil
import struct
import tempfile

import regex
import tiktoken
import tokenizers
import xxhash
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "text"
GPT2_PATTERN = (r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")
LLAMA3_PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
                  r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# name, text
CASES = [
    ("empty", ""),
    ("one letter", "a"),
    ("one space", " "),
    ("hello", "Hello, world!"),
    ("leading and trailing spaces", "   three before and four after    "),
    ("contractions", "I'm I'M he's HE'S it'll IT'LL we've WE'VE you're YOU'RE I'd I'D don't DON'T"),
    ("contractions alone", "'s 't 're 've 'm 'll 'd 'S 'T 'RE 'x '' ''s s's 's's"),
    ("typographic apostrophe", "it\u2019s not the same as it's"),
    ("numbers", "0 1 12 123 1234 12345 3.14159 1,000,000 1e-10 0x7F 50% $9.99 2nd \u00bd \u2167 \u0663\u0664"),
    ("digits glued to letters", "a1b22c333 x86-64 int32_t v1.2.3-rc4"),
    ("newlines", "one\ntwo\r\nthree\rfour\n\n\nfive\n \n  \n\tsix\n"),
    ("tabs and spaces", "\t\ttab  two   three    four \t mixed\t \t end"),
    ("only white space", " \t\n\r\x0b\x0c \n"),
    ("unicode spaces", "a\u00a0b\u1680c\u2003d\u2028e\u2029f\u202fg\u205fh\u3000i\u0085j\u200bk\u180el\ufeffm"),
    ("spaces before the unicode space", "x  \u00a0y \u3000 z"),
    ("punctuation", "Wait... what?! (yes) [no] {maybe} <tag/> \"quoted\" `code` --- a/b\\c @x #y ~z^ |&*"),
    ("code", "for (int i = 0; i < n; ++i) {\n\treturn x->y[i] != nullptr && !done;  // why?\n}\n"),
    ("control characters", "".join(chr(c) for c in range(32)) + "\x7f" + "".join(map(chr, range(0x80, 0xa0)))),
    ("NUL inside", "before\x00after \x00 \x00\x00"),
    ("latin-1", "".join(chr(c) for c in range(0xa0, 0x100))),
    ("accents", "na\u00efve caf\u00e9 \u00c5ngstr\u00f6m \u0153uvre Stra\u00dfe \u0130stanbul"),
    ("combining marks", "e\u0301 a\u0308\u0323 Z\u0351\u036b\u0343\u036a\u0302 n\u0303o \u0301alone"),
    ("cyrillic", "\u041d\u0435\u0449\u043e \u043d\u0430 \u0411\u044a\u043b\u0433\u0430\u0440\u0441\u043a\u0438 \u0401\u0436"),
    ("greek", "\u0391\u03b8\u03ae\u03bd\u03b1 \u03bb\u03cc\u03b3\u03bf\u03c2"),
    ("hebrew", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd 123"),
    ("arabic with marks and direction controls", "\u202b\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627\u202c \u0662\u0660\u0662\u0664 \u200fabc\u200e"),
    ("devanagari", "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e \u0967\u0968\u0969"),
    ("thai", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01"),
    ("cjk", "\u4f60\u597d\uff0c\u4e16\u754c\uff01 \u3053\u3093\u306b\u3061\u306f\u4e16\u754c \uc548\ub155\ud558\uc138\uc694 \U00020000\U0002a6d6"),
    ("full width", "\uff21\uff22\uff23\uff11\uff12\uff13\u3000\uff1f"),
    ("emoji", "\U0001f600\U0001f602 hi \U0001f44d\U0001f3fd \u2764\ufe0f \u263a \U0001f1e9\U0001f1ea"),
    ("zero-width joiners", "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f9d1\U0001f3ff\u200d\U0001f4bb"),
    ("mathematics", "\u2200x\u2208\u211d: \u2211_{i=0}^n x\u00b2 \u2264 \U0001d4d0\U0001d7d8 \u221e"),
    ("private use, noncharacters, last", "\ue000\uf8ff \ufffe\uffff \U000f0000 \U0010ffff"),
    ("replacement character", "a\ufffdb \ufffd\ufffd c"),
    ("special token as text", "a<|endoftext|>b <|endoftext|> <|endoftext"),
    ("url", "https://example.org/a_b-c?d=e&f=%20g#h"),
    ("camel case", "parseHTTPResponse XMLHttpRequest snake_case_name kConstant"),
    ("byte order mark", "\ufeffStart"),
    ("long word", "Donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft"),
    ("pneumono", "pneumonoultramicroscopicsilicovolcanoconiosis" * 3),
]

# name, unit, times
RUNS = [
    ("letters", "a", 5000), ("capital", "Z", 300), ("digits", "7", 3000), ("spaces", " ", 5000),
    ("newlines", "\n", 3000), ("dots", ".", 5000), ("dashes", "-", 4000), ("two letters", "ab", 2000),
    ("spaced letters", "a ", 1000), ("emoji", "\U0001f600", 500), ("combining", "e\u0301", 500),
    ("mixed space", " \n\t", 700), ("NUL", "\x00", 500), ("han", "\u4e00", 700), ("equals", "=", 4096),
]

# name, bytes
INVALID = [
    ("lone continuation", b"a\x80b"),
    ("space before", b"a \x80 b"),
    ("all high bytes", bytes(range(0x80, 0x100))),
    ("truncated euro", b"price \xe2\x82"),
    ("truncated inside", b"x\xe2\x82y \xf0\x9f\x98 z"),
    ("overlong", b"\xc0\xaf \xe0\x80\x80 \xf0\x80\x80\x80"),
    ("surrogate", b"\xed\xa0\x80\xed\xb0\x80 end"),
    ("past the last", b"\xf4\x90\x80\x80 \xf5 \xff\xfe"),
    ("between letters and digits", b"abc\xff\xffdef\xff123\xff"),
    ("white space around", b"\n\xff\n \xff \t\xff\t"),
    ("latin-1 text", "na\u00efve caf\u00e9, gar\u00e7on".encode("latin-1")),
    ("shift-jis text", "\u65e5\u672c\u8a9e \u30c6\u30ad\u30b9\u30c8".encode("shift-jis")),
    ("utf-16 text", "Hi \u20ac".encode("utf-16")),
    ("valid and invalid", "\U0001f600".encode() + b"\xf0\x9f\x98" + "\U0001f600".encode() + b"\xe9t\xe9"),
]

ENGLISH = (
    "The quick brown fox jumps over the lazy dog. The dog, who was not so lazy after all, jumped "
    "back over the fox; they're friends now, aren't they? In 2024 they met 17 more foxes and 365 "
    "dogs.\nA fox is quicker than a dog, and a dog is louder than a fox. The brownest fox of the "
    "foxes is the quickest of them: it jumps, it jumped, it is jumping, and it will be jumping.\n")

# Texts for the small tokenizers and for those that cairn wrote.
SMALL_TEXTS = [
    "", " ", "The quick brown fox", " leading", "trailing ", "It's 12345 foxes, isn't it?\n\n  Yes!\n",
    "caf\u00e9 \U0001f600 \u4e16\u754c", "a\x00b\t\tc", "jumpjumpjump foxfox   dogs", "don't DON'T 3.14",
    "x" * 100, "\u00a0\u3000\u180e", "<s>a</s> <pad> b", "one <sep> two<sep>three", "\n\n\n",
    "low\u2581line \u2581\u2581",
]


# Known to cairn_characters, besides those of ENGLISH.
CHARACTERS = "caf\u00e9 \U0001f600 \u4e16\u754c\x00\t\u2581\"\\"


def write(name, value):
    path = GOLDEN / name
    path.write_text(value if isinstance(value, str) else json.dumps(value, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


def digest(ids):
    data = b"".join(int(i).to_bytes(4, "little", signed=True) for i in ids)
    return {"count": len(ids), "xxh64": xxhash.xxh64(data).hexdigest()}


class Gpt2:
    def __init__(self, folder):
        self.hf = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Its own added token would be found in every text; cairn's default is to read it as text.
        plain = json.loads((folder / "tokenizer.json").read_text())
        plain["added_tokens"] = []
        self.hf_plain = tokenizers.Tokenizer.from_str(json.dumps(plain))
        ranks = data_gym_to_mergeable_bpe_ranks(str(folder / "vocab.bpe"), str(folder / "encoder.json"))
        self.tiktoken = tiktoken.Encoding("gpt2-local", pat_str=GPT2_PATTERN, mergeable_ranks=ranks,
                                          special_tokens={"<|endoftext|>": 50256})

    def encode(self, text, parse_special=False):
        hf = (self.hf if parse_special else self.hf_plain).encode(text).ids
        other = self.tiktoken.encode(text, allowed_special="all" if parse_special else set(),
                                     disallowed_special=())
        if hf != other:
            raise SystemExit(f"tokenizers and tiktoken differ on {text[:80]!r}: {hf[:40]} {other[:40]}")
        return hf

    def encode_bytes(self, data):
        ids, text, at = [], data.decode("utf-8", "replace"), []
        # The offset in `data` of each character of `text`, found by decoding growing prefixes.
        offset = 0
        for character in text:
            at.append(offset)
            encoded = character.encode()
            if data[offset:offset + len(encoded)] == encoded:
                offset += len(encoded)
                continue
            size = 1  # an invalid unit is the longest start of a character, 1 to 3 bytes
            while size < 3 and data[offset:offset + size + 1].decode("utf-8", "replace") == "\ufffd" \
                    and offset + size < len(data):
                size += 1
            offset += size
        at.append(offset)
        assert offset == len(data), (data, text)
        for match in regex.finditer(GPT2_PATTERN, text):
            ids += self.tiktoken._encode_single_piece(data[at[match.start()]:at[match.end()]])
        assert self.tiktoken.decode_bytes(ids) == data
        return ids


def make_gpt2(data):
    gpt2 = Gpt2(data / "tokenizers" / "gpt2")
    cases = [{"name": n, "text": t, "ids": gpt2.encode(t)} for n, t in CASES]
    cases += [{"name": n, "text": t, "parse_special": True, "ids": gpt2.encode(t, True)}
              for n, t in CASES if "<|" in t]
    runs = [{"name": n, "unit": u, "times": k, "ids": gpt2.encode(u * k)} for n, u, k in RUNS]
    # tokenizers only: the pattern engine of tiktoken overflows its stack on a million spaces.
    million = [{"unit": u, "times": 1 << 20, **digest(gpt2.hf_plain.encode(u * (1 << 20)).ids)}
               for u in ("a", " ")]
    invalid = [{"name": n, "hex": b.hex(), "ids": gpt2.encode_bytes(b)} for n, b in INVALID]
    write("gpt2_cases.json", {"cases": cases, "runs": runs, "million": million, "invalid": invalid})
    files = {}
    for path in sorted((data / "text").rglob("*")):
        if path.is_file() and path.suffix != ".gz":
            files[str(path.relative_to(data))] = digest(gpt2.encode(path.read_bytes().decode("utf-8")))
    write("gpt2_files.json", files)


def train(tokenizer, trainer):
    tokenizer.train_from_iterator([ENGLISH] * 4, trainer)


def small_tokenizers():
    """name → tokenizer, each with another set of components."""
    made = {}
    # Llama 3's shape: its pattern, then bytes; whole pieces first; BOS by a template in a sequence.
    t = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(LLAMA3_PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                 show_progress=False))
    t.add_special_tokens(["<s>", "</s>"])
    t.add_tokens([tokenizers.AddedToken("<sep>", lstrip=True, rstrip=True)])
    t.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> <s> $B </s>",
                                      special_tokens=[(s, t.token_to_id(s)) for s in ("<s>", "</s>")])])
    made["hf_pattern"] = t
    # RoBERTa's and GPT-2's shape with a prefix space; special tokens first, as trainers put them.
    t = tokenizers.Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    t.decoder = decoders.ByteLevel()
    train(t, trainers.BpeTrainer(vocab_size=350, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                 special_tokens=["<s>", "<pad>", "</s>"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    made["hf_prefix_space"] = t
    # SmolLM's shape: digits one by one, then GPT-2's pattern.
    t = tokenizers.Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    train(t, trainers.BpeTrainer(vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                 special_tokens=["<|endoftext|>"], show_progress=False))
    made["hf_digits"] = t
    # GPT-4's shape in Hugging Face's spelling: what matches is kept; and a literal.
    t = tokenizers.Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split("::", "isolated"),
        pre_tokenizers.Split(tokenizers.Regex(GPT2_PATTERN), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, trainers.BpeTrainer(vocab_size=320, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                 show_progress=False))
    made["hf_removed"] = t
    # Llama's shape: spaces as U+2581, characters, bytes for what is not among them.
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    t = tokenizers.Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    train(t, trainers.BpeTrainer(vocab_size=480, special_tokens=pieces, show_progress=False))
    model = json.loads(t.to_str())
    model["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    model["added_tokens"] = [dict(x, normalized=False) for x in model["added_tokens"][:3]]
    t = tokenizers.Tokenizer.from_str(json.dumps(model))
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                   decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    made["hf_llama"] = t
    # Gemma's: no space before the text, and a pre-tokenizer that has nothing to do.
    t = tokenizers.Tokenizer.from_str(json.dumps(model))
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    made["hf_gemma"] = t
    # Qwen's: NFC first.
    t = tokenizers.Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(LLAMA3_PATTERN.replace("{1,3}", "")), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    train(t, trainers.BpeTrainer(vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                 special_tokens=["<|im_start|>", "<|im_end|>"], show_progress=False))
    made["hf_qwen"] = t
    return made


def expected(t, texts, name):
    """Ids with special tokens read in the text, without and with those around it; decoded text.

    In Llama's kind cairn decodes special tokens to nothing, as SentencePiece does."""
    out = []
    for text in texts:
        ids = t.encode(text, add_special_tokens=False).ids
        out.append({"text": text, "ids": ids, "with_special": t.encode(text).ids,
                    "decoded": t.decode(ids, skip_special_tokens="llama" in name)})
    return out


def make_small():
    for name, t in small_tokenizers().items():
        write(f"{name}.json", t.to_str())
        texts = SMALL_TEXTS + [ENGLISH, "a::b :: c"]
        if name == "hf_qwen":
            texts += ["e\u0301a\u030a \u1100\u1161\u11a8 \u212b", "<|im_start|>e\u0301<|im_end|>"]
        write(f"{name}_cases.json", expected(t, texts, name))


def check_cairn():
    """What cairn wrote, read by tokenizers and by transformers."""
    from transformers import AutoTokenizer
    cases = {}
    for path in sorted(GOLDEN.glob("cairn_*.json")):
        if path.name.endswith(("_cases.json", "_config.json")):
            continue
        t = tokenizers.Tokenizer.from_file(str(path))
        texts = [ENGLISH, CHARACTERS] if path.stem == "cairn_characters" else SMALL_TEXTS + [ENGLISH]
        cases[path.stem] = expected(t, texts, path.stem)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(path, folder + "/tokenizer.json")
            shutil.copy(path.with_name(path.stem + "_config.json"), folder + "/tokenizer_config.json")
            for model_type in ("gpt2", "llama"):  # the family must not choose another class
                pathlib.Path(folder, "config.json").write_text(json.dumps({"model_type": model_type}))
                auto = AutoTokenizer.from_pretrained(folder)
                for case in cases[path.stem]:
                    assert auto.encode(case["text"], add_special_tokens=False) == case["ids"], (path, case)
                    assert auto.encode(case["text"]) == case["with_special"], (path, case)
                    decoded = auto.decode(case["ids"], skip_special_tokens="llama" in path.stem)
                    assert decoded == case["decoded"], (path, case, decoded)
                config = json.loads(pathlib.Path(folder, "tokenizer_config.json").read_text())
                assert (auto.bos_token, auto.eos_token) == (config.get("bos_token"), config.get("eos_token"))
        print(f"{path.name}: tokenizers {tokenizers.__version__} and transformers agree")
    write("cairn_cases.json", cases)


def make_fuzz_seeds():
    """Small files of each format for tests/fuzz."""
    corpus = GOLDEN.parent.parent / "fuzz" / "corpus"

    def put(target, name, data):
        folder = corpus / f"text_{target}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())

    vocab = {c: i for i, c in enumerate(["a", "b", "c", "ab", "\u0120", "1", "2", "'", "<", ">", "s",
                                         "\u010a", "\u00c3", "\u00a9", "\u00e4", "\u00b8", "\u0138",
                                         "\u0120a", "\u00ff", "\u0100", "\u00e2", "\u0124"])}
    merges = ["a b", "\u0120 a"]
    added = [{"id": len(vocab), "content": "<s>", "special": True, "rstrip": True}]
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [len(vocab)], "tokens": ["<s>"]}}}
    byte_level = {"added_tokens": added, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True},
                  "decoder": {"type": "ByteLevel"}, "post_processor": template,
                  "model": {"type": "BPE", "vocab": vocab, "merges": merges}}
    split = dict(byte_level, pre_tokenizer={"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\s+|b"}, "behavior": "Removed", "invert": False},
        {"type": "Split", "pattern": {"String": "a"}, "behavior": "Isolated"},
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]})
    characters = {"added_tokens": [], "decoder": {"type": "Fuse"},
                  "model": {"vocab": dict(zip("ab <s>'12\n\u00e9\u4e16c", range(13))) | {"ab": 13},
                            "merges": [["a", "b"]]}}
    config = json.dumps({"bos_token": {"content": "<s>"}, "eos_token": None})
    put("tokenizer_json", "byte_level", json.dumps(byte_level) + "\0" + config)
    put("tokenizer_json", "split", json.dumps(split))
    put("tokenizer_json", "characters", json.dumps(characters))
    put("vocab_bpe", "small", json.dumps(vocab, ensure_ascii=False) + "\0#version: 0.2\n" + "\n".join(merges) + "\n")
    pieces = ["<unk>", "\n<s>\n", "\n</s>\n"] + [f"<0x{b:02X}>" for b in range(256)] + \
        [" ", "a", "b", " a", "ab", " ab", "aa", "aaa", "\u4e16"]
    put("tok_bin", "small", struct.pack("<i", 12) + b"".join(
        struct.pack("<fi", -i, len(p.encode())) + p.encode() for i, p in enumerate(pieces)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the folder of shared test data")
    data = parser.parse_args().data
    GOLDEN.mkdir(parents=True, exist_ok=True)
    make_gpt2(data)
    make_small()
    check_cairn()
    make_fuzz_seeds()


if __name__ == "__main__":
    main()

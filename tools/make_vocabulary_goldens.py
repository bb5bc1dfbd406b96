#!/usr/bin/env python3
"""Writes tests/golden/text/vocabulary_cases.json: ids by tiktoken and by SentencePiece.

    pip install tiktoken sentencepiece tokenizers regex xxhash
    tools/make_vocabulary_goldens.py --data ../shared/data

For Llama 3's and GPT-4's tiktoken files, and SentencePiece's models of Llama 2 and stories260K: the ids of
the strings of make_tokenizer_goldens.py in full, of the files of data/text as number and xxh64.
It also writes the seeds of the fuzz targets of these files and of GGUF metadata.
"""
import argparse
import json
import pathlib
import struct

import sentencepiece
import tiktoken
from tiktoken.load import load_tiktoken_bpe

import make_tokenizer_goldens as strings

GOLDEN = strings.GOLDEN
# As tiktoken has it; llama 3's own code has the pattern of make_tokenizer_goldens.py.
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
          r"\s++$|\s*[\r\n]|\s+(?!\S)|\s")
FILES = ["text/tinyshakespeare.txt", "text/wiki_demo.txt", "text/wikitext2-valid.txt",
         "text/cs336-bpe/german.txt"]


def encoders(data):
    def ranks(path, name, pattern):
        encoding = tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=load_tiktoken_bpe(str(path)),
                                     special_tokens={})
        return encoding.encode_ordinary

    def pieces(path):
        return sentencepiece.SentencePieceProcessor(model_file=str(path)).encode

    return {
        "tokenizers/tiktoken/cl100k_base.tiktoken": ranks(data / "tokenizers/tiktoken/cl100k_base.tiktoken", "a", CL100K),
        "tokenizers/llama3/tokenizer.model": ranks(data / "tokenizers/llama3/tokenizer.model", "b", strings.LLAMA3_PATTERN),
        "tokenizers/llama2/tokenizer.model": pieces(data / "tokenizers/llama2/tokenizer.model"),
        "tokenizers/tok512-tinystories.model": pieces(data / "tokenizers/tok512-tinystories.model"),
    }


def fuzz_seeds():
    """Small files of each format for tests/fuzz."""
    corpus = GOLDEN.parent.parent / "fuzz" / "corpus"

    def put(target, name, data):
        folder = corpus / f"text_{target}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    def field(number, data):
        return bytes([number << 3 | 2, len(data)]) + data

    def piece(text, score, kind=1):
        return field(1, field(1, text.encode()) + b"\x15" + struct.pack("<f", score) + bytes([0x18, kind]))

    model = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3)
    model += b"".join(piece(f"<0x{b:02X}>", 0, 6) for b in range(256))
    model += b"".join(piece(p, -i) for i, p in enumerate(["\u2581a", "ab", "\u2581ab", "\u2581", "a", "b", "'"]))
    model += piece("<x>", 0, 4) + field(2, b"\x18\x02") + field(3, b"\x18\x01\x20\x00")
    put("sentencepiece", "small", model)
    put("tiktoken", "small", b"IQ== 0\nIg== 1\nISI= 2\n\nYWI= 5\n")
    put("gguf_vocabulary", "llama", "llama\n\n....1\n".encode() + "11\u2581a\n12ab\n10\u2581\n10a\n10b\n30<s>\n".encode())
    put("gguf_vocabulary", "gpt2", "gpt2\nqwen2\n01..1\n10a\n10b\n10ab\n10\u0120\n30<s>\n40 x\nmerge a b\n".encode())
    put("gguf_vocabulary", "t5", "t5\n\n..01.\n20<unk>\n11\u2581a\n12ab\n10\u2581\n10a\n13b\n40xx\n30</s>\n".encode())
    put("gguf_vocabulary", "bert_bytes", b"bert\n\n012\n30[CLS]\n30[SEP]\n20\xffS\n10\xe2\x96\x81a\n")
    put("gguf_vocabulary", "bert", "bert\n\n012\n30[CLS]\n30[SEP]\n20[UNK]\n10\u2581a\n10ab\n10b\n10\u2581'\n".encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the folder of shared test data")
    data = parser.parse_args().data
    texts = [text for _, text in strings.CASES] + [unit * min(times, 300) for _, unit, times in strings.RUNS]
    # SentencePiece ends a text at NUL and takes no private marks; those strings are tiktoken's alone.
    fuzz_seeds()
    out = {"texts": texts, "files": FILES, "vocabularies": {}}
    for name, encode in encoders(data).items():
        piecewise = "llama2" in name or "tok512" in name
        ids = [None if piecewise and ("\0" in text or "\u2581" in text) else encode(text) for text in texts]
        files = []
        for file in FILES:
            text = (data / file).read_bytes().decode()
            files.append(None if piecewise and "\0" in text else strings.digest(encode(text)))
        out["vocabularies"][name] = {"ids": ids, "files": files}
        print(name, sum(len(i) for i in ids if i is not None))
    strings.write("vocabulary_cases.json", out)


if __name__ == "__main__":
    main()

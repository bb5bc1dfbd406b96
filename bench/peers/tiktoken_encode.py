#!/usr/bin/env python3
"""tiktoken's side of tokenizer_bench: MB/s of encode_ordinary on one thread, the best of 5 passes.

    pip install tiktoken
    bench/peers/tiktoken_encode.py llama3|cl100k RANKS TEXT...
"""
import pathlib
import sys
import time

import tiktoken
from tiktoken.load import load_tiktoken_bpe

PATTERNS = {
    "llama3": (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
               r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
    "cl100k": (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
               r"\s++$|\s*[\r\n]|\s+(?!\S)|\s"),
}


def main():
    kind, ranks, *files = sys.argv[1:]
    encoding = tiktoken.Encoding(kind, pat_str=PATTERNS[kind], mergeable_ranks=load_tiktoken_bpe(ranks),
                                 special_tokens={})
    for file in files:
        data = pathlib.Path(file).read_bytes()
        text = data.decode()
        best = 1e9
        for _ in range(5):
            start = time.thread_time()
            ids = encoding.encode_ordinary(text)
            best = min(best, time.thread_time() - start)
        print(f"{file}: {len(data)} bytes, {len(ids)} tokens, {1e-6 * len(data) / best:.1f} MB/s")


if __name__ == "__main__":
    main()

"""What each type of weights costs a trained model: size, perplexity, KL against f16, tokens a second; and a picture.

    cairn train examples/book.toml --out runs/book
    python3 tools/quantization_table.py runs/book --text examples/book.txt --out runs/table

--text is what the model was trained on: its last tenth, which the recipe keeps back, is what the figures are
of, and its beginning what importance is measured on (rows "+ importance"). --speed names another model whose
tokens a second are measured, as a small one is bound by other things than its weights. Rows are kept in
OUT/rows.json and those of --types made anew; OUT/quantization.svg shows size against loss.
"""

import argparse
import json
import math
import subprocess
from pathlib import Path

# Type, and whether importance weighs its columns.
ROWS = [("F16", False), ("Q8_0", False), ("Q6_K", False), ("Q5_K", False), ("Q5_K_M", False), ("Q5_0", False),
        ("Q4_K", False), ("Q4_K", True), ("Q4_K_M", False), ("Q4_0", False), ("IQ4_XS", False), ("IQ4_NL", False),
        ("MXFP4", False), ("Q3_K", False), ("Q3_K", True), ("Q3_K_M", False), ("Q2_K", False), ("Q2_K", True),
        ("Q2_K_M", False)]
HELD_OUT = 0.1


def name_of(kind, weighted):
    return f"{kind} + importance" if weighted else kind


class Table:
    def __init__(self, options):
        self.options, self.out = options, Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        text = Path(options.text).read_bytes()
        end = math.floor(len(text) * (1 - HELD_OUT))
        self.held_out, self.learned = self.out / "held-out.txt", self.out / "learned.txt"
        self.held_out.write_bytes(text[end:end + options.bytes].decode(errors="ignore").encode())
        self.learned.write_bytes(text[:200_000].decode(errors="ignore").encode())
        self.f16 = self.out / "f16.gguf"
        self.run("convert", options.model, self.f16, "--dtype", "f16")

    def run(self, *arguments):
        done = subprocess.run([self.options.cairn, *map(str, arguments), "--quiet"], check=True, capture_output=True, text=True)
        return done.stdout

    def quantized(self, source, kind, weighted, out):
        importance = ["--imatrix-text", self.learned] if weighted else []
        return json.loads(self.run("quantize", source, out, "--type", kind, "--json", *importance))

    def row(self, kind, weighted):
        path = self.out / "row.gguf"
        made = self.quantized(self.f16, kind, weighted, path)
        weights = json.loads(self.run("inspect", path, "--json"))["parameters"]
        row = {"name": name_of(kind, weighted), "bytes": made["bytes"], "bits": made["bytes"] * 8 / weights}
        row |= json.loads(self.run("eval", "perplexity", "--model", path, "--file", self.held_out, "--against", self.f16, "--json"))
        if not weighted:
            if self.options.speed:
                self.quantized(self.options.speed, kind, False, path)
            line = json.loads(self.run("bench", "llm", "--model", path, "--prompt", 0, "--generate", 64, "--repeat", 3,
                                       "--peers", "none", "--threads", self.options.threads, "--json").splitlines()[-1])
            row["tokens_per_s"] = line["tokens_per_s"]["median"]
        path.unlink()
        return row


def print_table(rows):
    print("| type | bits a weight | bytes | perplexity | KL against f16 | first choice | tokens/s |\n|---|---|---|---|---|---|---|")
    for row in rows:
        speed = f"{row['tokens_per_s']:.0f}" if "tokens_per_s" in row else ""
        print(f"| {row['name']} | {row['bits']:.2f} | {row['bytes']:,} | {row['perplexity']:.3f} | {row['kl']:.5f} "
              f"| {100 * row['top1_agreement']:.1f} % | {speed} |")


STYLE = """text { font: 12px sans-serif; fill: #222 } .axis { stroke: #888 } .grid { stroke: #ddd } .plain { fill: #2563eb }
.mixed { fill: #d97706 } .weighted { fill: #059669 } .title { font-size: 14px; font-weight: bold }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .grid { stroke: #444 } }"""


class Picture:
    """Bits a weight against KL, both logarithmic."""

    WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 420, 70, 110, 40, 50

    def __init__(self, rows):
        self.rows = [row for row in rows if row["kl"] > 0 and row["name"] != "F16"]
        kls = [math.log10(row["kl"]) for row in self.rows]
        self.low, self.high = min(kls) - 0.3, max(kls) + 0.2
        self.bits = (2.4, 9)

    def x(self, bits):
        low, high = map(math.log, self.bits)
        return self.LEFT + (math.log(bits) - low) / (high - low) * (self.WIDTH - self.LEFT - self.RIGHT)

    def y(self, kl):
        return self.TOP + (self.high - math.log10(kl)) / (self.high - self.low) * (self.HEIGHT - self.TOP - self.BOTTOM)

    def left_of(self, row):
        """Names of recipes stand left of their points, where few of the others are."""
        return row["name"].count("_") == 2 or row["name"] == "IQ4_XS"

    def labels(self):
        """A height for each row's name, so that none stands on another on its side."""
        taken, result = [], {}
        for row in sorted((r for r in self.rows if "importance" not in r["name"]), key=lambda row: row["kl"], reverse=True):
            x, y, left = self.x(row["bits"]), self.y(row["kl"]) + 4, self.left_of(row)
            while any(left == side and abs(y - other_y) < 13 and abs(x - other_x) < 60 for other_x, other_y, side in taken):
                y += 1
            taken.append((x, y, left))
            result[row["name"]] = y
        return result

    def svg(self):
        right, bottom = self.WIDTH - self.RIGHT, self.HEIGHT - self.BOTTOM
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.WIDTH} {self.HEIGHT}" role="img">',
                 f"<style>{STYLE}</style>", f'<text class="title" x="{self.LEFT}" y="22">Size against loss, by type of weights</text>']
        for exponent in range(math.ceil(self.low), math.floor(self.high) + 1):
            y = self.y(10.0**exponent)
            parts += [f'<line class="grid" x1="{self.LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>',
                      f'<text x="{self.LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**exponent:g}</text>']
        for bits in (3, 4, 5, 6, 8):
            x = self.x(bits)
            parts += [f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{self.TOP}" y2="{bottom}"/>',
                      f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{bits}</text>']
        parts += [f'<line class="axis" x1="{self.LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>',
                  f'<line class="axis" x1="{self.LEFT}" x2="{self.LEFT}" y1="{self.TOP}" y2="{bottom}"/>',
                  f'<text x="{(self.LEFT + right) / 2:.0f}" y="{self.HEIGHT - 10}" text-anchor="middle">bits a weight</text>',
                  f'<text transform="translate(16 {(self.TOP + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">KL against f16, nats a token</text>']
        labels = self.labels()
        for row in self.rows:
            name, x, y = row["name"], self.x(row["bits"]), self.y(row["kl"])
            kind = "weighted" if "importance" in name else "mixed" if name.count("_") == 2 else "plain"
            parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{name}: {row["bits"]:.2f} bits, KL {row["kl"]:.5f}, '
                      f'perplexity {row["perplexity"]:.3f}</title></circle>']
            if kind != "weighted":  # beside the same type without
                side = (-8, "end") if self.left_of(row) else (8, "start")
                parts.append(f'<text x="{x + side[0]:.1f}" y="{labels[name]:.1f}" text-anchor="{side[1]}">{name}</text>')
        for i, (kind, what) in enumerate((("plain", "one type for every matrix"), ("mixed", "recipe: more bits where it matters"),
                                          ("weighted", "one type, columns weighed"))):
            y = self.TOP + 12 + 18 * i
            parts += [f'<circle class="{kind}" cx="{right - 220}" cy="{y - 4}" r="4"/>', f'<text x="{right - 210}" y="{y}">{what}</text>']
        return "\n".join([*parts, "</svg>\n"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="what cairn train wrote")
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--cairn", default="build/release/bin/cairn", help="the program")
    parser.add_argument("--speed", help="measure tokens a second of this model instead")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=100_000, help="how much of the text kept back to use")
    parser.add_argument("--types", nargs="*", help="only these rows, by their first column")
    options = parser.parse_args()
    table = Table(options)
    kept = table.out / "rows.json"
    rows = {row["name"]: row for row in json.loads(kept.read_text())} if kept.exists() else {}
    for kind, weighted in ROWS:
        name = name_of(kind, weighted)
        if options.types is None or name in options.types:
            rows[name] = table.row(kind, weighted)
    ordered = [rows[name_of(*row)] for row in ROWS if name_of(*row) in rows]
    kept.write_text(json.dumps(ordered, indent=1) + "\n")
    print_table(ordered)
    if len(ordered) > 1:
        (table.out / "quantization.svg").write_text(Picture(ordered).svg())


if __name__ == "__main__":
    main()

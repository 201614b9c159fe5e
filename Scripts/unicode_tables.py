#!/usr/bin/env python3
"""Writes Sources/CUnicode/tables.c: what each code point is to Hugging Face's `tokenizers`.

`tokenizers` takes Unicode's data from several crates, of several versions: unicode-normalization-alignments (Unicode 9),
unicode_categories (8), Rust's own (17), Oniguruma (16), unicode-segmentation 1.12 (16). So the library itself is asked, code point
by code point; what it cannot be asked for comes from Unicode's data: combining classes, which never change (`unicodedata`, for
the code points that the library reorders), and the classes of grapheme clusters (tables.rs of unicode-segmentation v1.12.0).

usage: unicode_tables.py TABLES_RS [OUT]        with tokenizers 0.22.2
"""
import pathlib
import re
import sys
import unicodedata

import tokenizers
from tokenizers import Regex
from tokenizers import normalizers as N
from tokenizers import pre_tokenizers as P

POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = "Cn Co Cc Cf Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cs".split()
GRAPHEMES = "Any CR Control Extend Extended_Pictographic InCB_Consonant L LF LV LVT Prepend Regional_Indicator SpacingMark T V ZWJ".split()
BLOCK = 128


def removed(pre_tokenizer, points=POINTS):
    """The code points that are in no piece of this pre-tokenizer."""
    out = set()
    for i in range(0, len(points), 4096):
        part = points[i : i + 4096]
        kept = set()
        for _, (a, b) in pre_tokenizer.pre_tokenize_str("".join(map(chr, part))):
            kept.update(range(a, b))
        out.update(c for k, c in enumerate(part) if k not in kept)
    return out


def regex(pattern):
    return removed(P.Split(Regex(pattern), "removed"))


def mapping(normalizer):
    """The code points that a normalizer changes, with what it makes of them."""
    out = {}
    for c in POINTS:
        text = normalizer.normalize_str(chr(c))
        if text != chr(c):
            out[c] = [ord(x) for x in text]
    return out


def grapheme_classes(path):
    text = pathlib.Path(path).read_text()
    assert "(16, 0, 0)" in text, "the tables are of another Unicode version"
    point = r"'(\\u\{[0-9a-f]+\}|\\?.)'"
    number = lambda s: int(s[3:-1], 16) if s.startswith("\\u") else {"\\r": 13, "\\n": 10, "\\t": 9, "\\'": 39, "\\\\": 92}.get(s, ord(s[-1]))
    table = text[text.index("const grapheme_cat_table") :]
    classes = {}
    for a, b, name in re.findall(r"\(\s*%s,\s*%s,\s*GC_(\w+)\)" % (point, point), table[: table.index("];")]):
        for c in range(number(a), number(b) + 1):
            classes[c] = GRAPHEMES.index(name)
    # The crate answers for ASCII itself.
    classes.update({c: GRAPHEMES.index("Control") for c in range(0x20)})
    classes.update({10: GRAPHEMES.index("LF"), 13: GRAPHEMES.index("CR")})
    extend = text[text.index("const InCB_Extend_table") :]
    extends = set()
    for a, b in re.findall(r"\(\s*%s,\s*%s\s*\)" % (point, point), extend[: extend.index("];")]):
        extends.update(range(number(a), number(b) + 1))
    linker = text[text.index("fn is_incb_linker") :]
    linkers = {number(x) for x in re.findall(point, linker[: linker.index("}\n")])}
    return classes, extends, linkers


def main():
    assert tokenizers.__version__ == "0.22.2", tokenizers.__version__
    flags = dict.fromkeys(range(0x110000), 0)

    def set_flag(bit, points):
        for c in points:
            flags[c] |= 1 << bit

    bert = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    cleaned = mapping(N.BertNormalizer(**{**bert, "clean_text": True}))
    whitespace = removed(P.WhitespaceSplit())
    set_flag(0, [c for c, to in cleaned.items() if not to])
    assert all(to in ([], [32]) for to in cleaned.values())
    set_flag(1, whitespace)
    nfd, nfkd = mapping(N.NFD()), mapping(N.NFKD())
    stable = [c for c in POINTS if c not in nfd]
    strip = N.BertNormalizer(**{**bert, "strip_accents": True})
    set_flag(2, [c for c in stable if not strip.normalize_str(chr(c))])
    set_flag(3, [c for c in POINTS if not N.StripAccents().normalize_str(chr(c))])
    set_flag(4, removed(P.Punctuation("removed")))
    digits = set()
    for i in range(0, len(POINTS), 4096):
        part = "".join(" " + chr(c) for c in POINTS[i : i + 4096])
        digits.update(ord(w) for w, _ in P.Digits(True).pre_tokenize_str(part) if len(w) == 1)
    set_flag(5, digits - {0x20})
    # (The space between two of them was alone too.)
    # Whitespace() keeps \w+ and [^\w\s]+ apart: a word character is what is joined to an "a".
    word = set()
    for i in range(0, len(POINTS), 4096):
        part = "".join("a" + chr(c) + " " for c in POINTS[i : i + 4096])
        word.update(ord(w[1]) for w, _ in P.Whitespace().pre_tokenize_str(part) if len(w) >= 2 and w[0] == "a")
    set_flag(6, word)
    assert removed(P.Whitespace()) == whitespace
    lower = mapping(N.Lowercase())
    set_flag(7, lower)
    set_flag(8, nfd)
    set_flag(9, nfkd)
    # Combining classes: those of the code points that change places with another mark.
    classes = {}
    for c in stable:
        ccc = unicodedata.combining(chr(c))
        if ccc:
            other = "\u0316" if ccc == 1 else "\u0334"
            pair = other + chr(c) if ccc == 1 else chr(c) + other
            if N.NFD().normalize_str(pair) != pair:
                classes[c] = ccc
    set_flag(10, classes)
    pairs = {}
    for c in nfd:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            a, b = (int(p, 16) for p in parts)
            if N.NFC().normalize_str(chr(a) + chr(b)) == chr(c):
                pairs[a, b] = c
    # What NFC and NFKC may change: they change it alone, it is reordered, or it joins what comes before it.
    seconds = {b for _, b in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    set_flag(11, set(mapping(N.NFC())) | set(classes) | seconds)
    set_flag(12, set(mapping(N.NFKC())) | set(classes) | seconds)
    seen = set()
    for index, name in enumerate(CATEGORIES[:-1]):
        points = regex(r"\p{%s}" % name)
        assert not seen & points, name
        seen |= points
        for c in points:
            flags[c] |= index << 13
    assert seen == set(POINTS)
    assert regex(r"\s") == whitespace
    set_flag(18, regex(r"\w"))
    assert regex(r"\d") == {c for c in POINTS if CATEGORIES[flags[c] >> 13 & 31] == "Nd"}
    graphemes, extends, linkers = grapheme_classes(sys.argv[1])
    for c, index in graphemes.items():
        flags[c] |= index << 19
    set_flag(23, linkers)
    set_flag(24, extends)

    out = [
        "// Made by Scripts/unicode_tables.py; do not edit. What each code point is to `tokenizers` 0.22.2.",
        "#include \"CUnicode.h\"",
        "",
    ]

    def write(name, kind, values):
        out.append(f"const {kind} bertconv_unicode_{name}[{len(values)}] = {{")
        line = ""
        for v in values:
            if len(line) + len(str(v)) > 126:
                out.append(line)
                line = ""
            line += f"{v},"
        out.extend([line, "};"])

    def two_stages(name, values):
        """values[c] below 65536, as a table of blocks and the blocks."""
        blocks, index = {}, []
        for i in range(0, 0x110000, BLOCK):
            index.append(blocks.setdefault(tuple(values[i : i + BLOCK]), len(blocks)))
        flat = [v for b in blocks for v in b]
        write(f"{name}_index", "uint16_t" if len(blocks) > 256 else "uint8_t", index)
        write(f"{name}_values", "uint16_t" if max(flat) > 255 else "uint8_t", flat)
        print(name, len(blocks), "blocks")

    kinds = {}
    two_stages("kind", [kinds.setdefault(flags[c], len(kinds)) for c in range(0x110000)])
    write("kinds", "uint32_t", list(kinds))
    two_stages("combining", [classes.get(c, 0) for c in range(0x110000)])
    hangul = range(0xAC00, 0xD7A4)
    for name, table in (("lower", lower), ("nfd", nfd), ("nfkd", nfkd)):
        pool, starts, where = [0], {(): 0}, []
        for c in range(0x110000):
            to = tuple(table.get(c, ())) if c not in hangul else ()
            if to not in starts:
                starts[to] = len(pool)
                pool += [len(to), *to]
            where.append(starts[to])
        two_stages(name, where)
        write(f"{name}_pool", "uint32_t", pool)
    keys = sorted(pairs)
    write("compositions", "uint32_t", [v for a, b in keys for v in (a, b, pairs[a, b])])
    path = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else pathlib.Path(__file__).parent.parent / "Sources/CUnicode/tables.c")
    path.write_text("\n".join(out) + "\n")
    print(len(kinds), "kinds", len(pairs), "compositions", path.stat().st_size, "bytes")


main()

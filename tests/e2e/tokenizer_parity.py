"""Token ids of our tokenizer against the Rust package behind transformers' BertTokenizerFast: equal for every text.

usage: tokenizer_parity.py PROBE MINILM_DIR [IMDB_ARCHIVE]
Hostile strings, random ones, every code point, and all reviews of the archive when it is given.
"""
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

SKIPPED = 77
NO_LIMIT = 1 << 30

HOSTILE = [
    b"", b" ", b"\0", b"\t\r\n\v\f", b"a\0b", b"a\vb a\fb a\x7fb a\x1bb", b"a\xc2\x85b a\xc2\xa0b", b"a\xe2\x80\x8bb\xe2\x80\xa8c",
    b"Hello, World!", b"HELLO", "ÀÉÎÕÜ ñ ç Å ångström".encode(), "e\u0301 E\u0301 \u0301 \u0301a".encode(),
    "İstanbul ISTANBUL ıI".encode(), "ΣΑΣ Σ ς ὈΔΥΣΣΕΎΣ ᾼ ῼ".encode(), "straße STRASSE ẞ".encode(), "Ǆ ǅ ǆ K Å Ω".encode(),
    "日本語 テキスト 漢字kanji混ぜ 한국어 가각".encode(), "\uf900\ufa0e\U0002f800\U0002b920\U0002b820".encode(),
    "\u1100\u1161\u11a8 각".encode(), "नमस्ते สวัสดี שָׁלוֹם العَرَبِيَّة".encode(), "ﬁ ﬂ ½ ① ⅷ ㎏".encode(),
    "\ufeffbom \u200d\u200c zwj \u00ad soft\u00adhyphen".encode(), "👩‍👩‍👧‍👦 🏳️‍🌈 😀😀".encode(), "\ue000\U000f0000 private".encode(),
    "\u0378 \U0005ffff unassigned".encode(), "\ufffe \uffff \U0010ffff".encode(), "\ufffd a\ufffdb".encode(),
    "a\u0338= \u2260 \u226e \u037e \u1fef \u0340\u0344".encode(), "\u302e\u1baa a\u302f\u0316\u1baa\u3099".encode(),
    "\U0001d15e \U0001d1bb a\U0001d165\U0001d16d".encode(), "\u166d \U000111c9 a\u1734b \u1885 \ua9bd".encode(),
    "\u0b94 \u0dda \u0f73\u0f71 \U00011938".encode(), "\ua7cb \u1c89 \U00010d50".encode(),
    b"[SEP]", b"[CLS] a [SEP] b [MASK][PAD][UNK]", b"[sep] [ SEP ] [SEP [[SEP]] a[SEP]b SEP]", b"[SE\xffP] [SE\0P] \xff[SEP]\xff",
    "e[SEP]\u0301 [MASK]\u302e".encode(), b"[unused1] ##ing ## # [unused0", "［SEP］".encode(),
    b"x" * 99, b"x" * 100, b"x" * 101, b"x" * 127 + b" " + b"x" * 128 + b" " + b"x" * 129, b"a" * 100000, "é".encode() * 100,
    "é".encode() * 101, "e\u0301".encode() * 100, "𝒳".encode() * 100, "𝒳".encode() * 101, ("x" * 99 + "\u0301" + "y").encode(),
    b"-" * 300, b"a-" * 300, b"supercalifragilisticexpialidocious antidisestablishmentarianism", b"don't can't o'clock",
    b"<br /><br />It's 10/10!!! http://example.com/a?b=c&d=%20#e foo@bar.baz $9.99", b"~`!@#$%^&*()_+-={}|[]\\:\";'<>?,./",
    b"\x80", b"\xff\xfe", b"a\x80b", b"a\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x28\xa1", b"\xe2\x82\x28", b"\xf0\x9f\x98", b"a\xf0\x9f\x98b",
    b"\xf0\x28\x8c\xbc", b"\xf8\x88\x80\x80\x80", b"\xc0\xaf\xc1\x81", b"\xe0\x80\xaf \xe0\x9f\xbf", b"\xed\xa0\x80 \xed\xbf\xbf a\xed\xa0\x80b",
    b"\xf4\x90\x80\x80 \xf4\x8f\xbf\xbf", b"\xf0\x80\x80\x80", b"\xe4\xb8\xadx\xe4\xb8", b"caf\xe9 na\xefve \x93quoted\x94",
    b"\xcc\x81" * 5000, b"\xcd\x82\xcc\x96" * 5000, b"\xe3\x80\xae\xe1\xae\xaa" * 2000,
]


def run_probe(probe, vocabulary, lower, texts, max_tokens=NO_LIMIT, threads=1):
    request = b"".join(struct.pack("<I", len(t)) + t for t in texts)
    done = subprocess.run([probe, vocabulary, "lower" if lower else "cased", str(max_tokens), str(threads)],
                          input=request, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{probe} failed: {done.stderr.decode()}")
    answer = memoryview(done.stdout).cast("i")
    ids, at = [], 0
    while at < len(answer):
        count = answer[at]
        ids.append(answer[at + 1:at + 1 + count].tolist())
        at += 1 + count
    assert len(ids) == len(texts), f"{len(texts)} texts went in, {len(ids)} came back"
    return ids, float(done.stderr)


def decoded(texts):
    return [t.decode("utf-8", errors="replace") for t in texts]


def compare(name, texts, ours, theirs):
    for text, a, b in zip(texts, ours, theirs):
        if a != b:
            sys.exit(f"{name}: {text[:300]!r}\n  ours   {a[:60]}\n  theirs {b[:60]}")
    print(f"{name}: {len(texts)} texts, {sum(map(len, ours))} ids, equal", flush=True)


def reference_ids(tokenizer, texts):
    return [e.ids for e in tokenizer.encode_batch(decoded(texts))]


def minilm(directory, lower):
    from tokenizers.normalizers import BertNormalizer
    from transformers import BertTokenizerFast
    tokenizer = BertTokenizerFast.from_pretrained(directory).backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if not lower:
        tokenizer.normalizer = BertNormalizer(lowercase=False)
    return tokenizer


def random_texts(count, seed):
    rng = random.Random(seed)
    words = "the Movie WAS great [SEP] [CLS] [MASK] [sep] un believ able café naïve 東京 한국 ﬁ İ ß x y ' - . [ ]".split(" ")
    pools = [range(0x20, 0x7F), range(0x80), range(0x80, 0x250), range(0x300, 0x370), range(0x370, 0x530), range(0x590, 0x700),
             range(0x900, 0xE00), range(0x1AB0, 0x1B00), range(0x1DC0, 0x2100), range(0x3000, 0x3100), range(0x4E00, 0x4F00),
             range(0xAC00, 0xAD00), range(0x1D100, 0x1D200), range(0x11000, 0x11400), range(0xD800), range(0xE000, 0x110000)]

    def piece():
        kind = rng.randrange(8)
        if kind < 3:
            return rng.choice(words).encode()
        if kind == 3:
            return rng.randbytes(rng.randrange(1, 5))
        if kind == 4:
            return chr(rng.choice(rng.choice(pools))).encode()[:rng.randrange(1, 5)]
        if kind == 5:
            return rng.choice([b"x", "é".encode(), "e\u0301".encode()]) * rng.choice([1, 3, 50, 99, 100, 101])
        pool = rng.choice(pools)
        return "".join(chr(rng.choice(pool)) for _ in range(rng.randrange(1, 6))).encode()

    def text():
        return b"".join(piece() + rng.choice([b"", b"", b" ", b"\n"]) for _ in range(rng.randrange(1, 20)))
    return [text() for _ in range(count)]


def character_vocabulary(characters):
    """Every character is a token of its own, so that no difference hides behind [UNK]."""
    usable = sorted(c for c in characters if ord(c) > 0x20 and ord(c) != 0x7F)
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + usable + ["##" + c for c in usable]


def character_tokenizer(tokens, lower):
    from tokenizers import BertWordPieceTokenizer
    return BertWordPieceTokenizer({token: i for i, token in enumerate(tokens)}, lowercase=lower, strip_accents=lower)


def every_code_point(probe, directory):
    from tokenizers.normalizers import NFD, Lowercase, Sequence
    reach = Sequence([NFD(), Lowercase()])
    path = Path(directory) / "characters.txt"
    for lower in (True, False):
        checked = 0
        for plane in range(17):
            characters = [chr(c) for c in range(plane << 16, (plane + 1) << 16) if not 0xD800 <= c < 0xE000]
            # Alone, within a word, and among spacing marks of several combining classes, whose order shows its own.
            forms = [f"a{c}b {c} E\u0301{c}\u302e\u1baa a\u302e{c}\U0001d165 " for c in characters]
            texts = ["".join(forms[i:i + 32]).encode() for i in range(0, len(forms), 32)]
            alphabet = set(reach.normalize_str("".join(characters))) | set(characters) | set("abeE\u302e\u1baa\U0001d165\u0301")
            tokens = character_vocabulary(alphabet)
            path.write_text("\n".join(tokens) + "\n", encoding="utf-8", newline="\n")
            ours, _ = run_probe(probe, path, lower, texts)
            theirs = reference_ids(character_tokenizer(tokens, lower), texts)
            for text, a, b in zip(texts, ours, theirs):
                if a != b:
                    which = next(f for f in text.decode().split(" ") if f)
                    sys.exit(f"code points (lower={lower}) from {which!r} on:\n  ours   {a}\n  theirs {b}")
            checked += len(characters)
        print(f"every code point, {'lower case' if lower else 'cased'}: {checked} code points, equal", flush=True)


def random_against_characters(probe, directory):
    texts = random_texts(4000, 3) + HOSTILE
    alphabet = set("".join(decoded(texts)))
    from tokenizers.normalizers import NFD, Lowercase, Sequence
    alphabet |= set(Sequence([NFD(), Lowercase()]).normalize_str("".join(sorted(alphabet))))
    tokens = character_vocabulary(alphabet)
    path = Path(directory) / "characters.txt"
    path.write_text("\n".join(tokens) + "\n", encoding="utf-8", newline="\n")
    for lower in (True, False):
        tokenizer = character_tokenizer(tokens, lower)
        ours, _ = run_probe(probe, path, lower, texts)
        compare(f"random and hostile, a token a character, lower={lower}", texts, ours, reference_ids(tokenizer, texts))


def with_minilm(probe, model):
    vocabulary = Path(model) / "vocab.txt"
    texts = HOSTILE + random_texts(8000, 7)
    for lower in (True, False):
        tokenizer = minilm(model, lower)
        ours, _ = run_probe(probe, vocabulary, lower, texts, threads=2)
        compare(f"MiniLM's vocabulary, lower={lower}", texts, ours, reference_ids(tokenizer, texts))
    tokenizer = minilm(model, True)
    for limit in (2, 3, 4, 17, 64, 512):
        tokenizer.enable_truncation(limit)
        ours, _ = run_probe(probe, vocabulary, True, texts, max_tokens=limit)
        compare(f"cut at {limit}", texts, ours, reference_ids(tokenizer, texts))


def read_archive(archive):
    with tarfile.open(archive) as tar:
        return [tar.extractfile(m).read() for m in tar if m.isfile() and m.name.endswith(".txt")]


def reviews(probe, model, archive):
    texts = read_archive(archive)
    vocabulary = Path(model) / "vocab.txt"
    for lower, some in ((True, texts), (False, texts[::10])):
        ours, _ = run_probe(probe, vocabulary, lower, some, threads=2)
        compare(f"reviews, lower={lower}", some, ours, reference_ids(minilm(model, lower), some))


def main():
    if len(sys.argv) < 3 or not sys.argv[2]:
        print("skipped: no MiniLM directory was given (FEDMPI_TEST_MINILM)")
        return SKIPPED
    probe, model = sys.argv[1:3]
    archive = sys.argv[3] if len(sys.argv) > 3 else ""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        with_minilm(probe, model)
        random_against_characters(probe, directory)
        every_code_point(probe, directory)
    if archive and Path(archive).exists():
        reviews(probe, model, archive)
    else:
        print("the reviews were left out: no archive was given (FEDMPI_TEST_IMDB)")
    print(f"{time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Tokenizing alone, beside the Rust package `tokenizers`: the archive's reviews, one and two threads, taking turns.

    compare.py PROBE MINILM_DIRECTORY ARCHIVE

PROBE is BUILD/tests/e2e/tokenizer_probe. The ids are compared as well.
"""
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "e2e"))
import tokenizer_parity  # noqa: E402

TURNS = 3
THEIRS = """
import pickle, sys, time
sys.path.insert(0, sys.argv[2])
import tokenizer_parity
tokenizer = tokenizer_parity.minilm(sys.argv[1], True)
texts = tokenizer_parity.decoded(pickle.load(sys.stdin.buffer))
started = time.perf_counter()
ids = tokenizer.encode_batch(texts)
print(time.perf_counter() - started, sum(len(e.ids) for e in ids))
"""


def theirs(model, texts, threads):
    import pickle
    environment = dict(os.environ, RAYON_NUM_THREADS=str(threads), TOKENIZERS_PARALLELISM="true")
    done = subprocess.run([sys.executable, "-c", THEIRS, model, str(pathlib.Path(tokenizer_parity.__file__).parent)],
                          input=pickle.dumps(texts), env=environment, capture_output=True, check=True)
    seconds, count = done.stdout.split()
    return float(seconds), int(count)


def main():
    probe, model, archive = sys.argv[1:]
    texts = tokenizer_parity.read_archive(archive)
    vocabulary = os.path.join(model, "vocab.txt")
    tokenizer_parity.compare("ids", texts, tokenizer_parity.run_probe(probe, vocabulary, True, texts)[0],
                             tokenizer_parity.reference_ids(tokenizer_parity.minilm(model, True), texts))
    for threads in (1, 2):
        ours, rust = [], []
        for _ in range(TURNS):
            ours.append(tokenizer_parity.run_probe(probe, vocabulary, True, texts, threads=threads)[1])
            rust.append(theirs(model, texts, threads)[0])
        mine, other = statistics.median(ours), statistics.median(rust)
        print(f"{threads} thread{'s' if threads > 1 else ''}: fedmpi {len(texts) / mine:.0f} reviews/s, tokenizers "
              f"{len(texts) / other:.0f} reviews/s: {other / mine:.1f}x", flush=True)


if __name__ == "__main__":
    main()

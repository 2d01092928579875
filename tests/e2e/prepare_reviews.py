"""`fedmpi prepare imdb` as a user meets it: shards against transformers, interruption, a full disk, mistakes.

usage: prepare_test.py FEDMPI MINILM_DIR [IMDB_ARCHIVE]
Without an archive a small one is made.
"""
import os
import random
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from io import BytesIO
from pathlib import Path

SKIPPED = 77


def make_archive(path, reviews_a_label, words=200):
    rng = random.Random(1)
    vocabulary = "a the good bad movie film café İstanbul 東京 don't [SEP] great! awful... <br /> unbelievable".split()
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for split in ("train", "test"):
            for label in ("pos", "neg"):
                for i in range(reviews_a_label):
                    text = " ".join(rng.choice(vocabulary) for _ in range(rng.randrange(1, words))).encode() + b"\xff"
                    info = tarfile.TarInfo(f"aclImdb/{split}/{label}/{i}_{rng.randrange(1, 11)}.txt")
                    info.size = len(text)
                    tar.addfile(info, BytesIO(text))


def command(fedmpi, model, archive, output, *more):
    return [fedmpi, "prepare", "imdb", "--archive", archive, "--vocabulary", Path(model) / "vocab.txt", "--output", output, *more]


def check_shards(fedmpi, model, archive, directory):
    """Every example, as transformers gives it, once; labels right; the order shuffled."""
    import h5py
    import numpy as np
    from transformers import BertTokenizerFast
    output = Path(directory) / "out"
    start = time.perf_counter()
    done = subprocess.run(command(fedmpi, model, archive, output, "--max-tokens", "128"), check=True, capture_output=True, text=True)
    print(done.stdout, f"{time.perf_counter() - start:.1f} s in all", sep="")
    tokenizer = BertTokenizerFast.from_pretrained(model)
    for split in ("train", "test"):
        with h5py.File(output / f"{split}.h5") as shard:
            tokens, offsets, labels = shard["tokens"][:], shard["offsets"][:], shard["labels"][:]
            assert shard.attrs["vocabulary_size"] == len(tokenizer) and shard.attrs["num_labels"] == 2
            assert shard.attrs["source"] == Path(archive).name.encode()
            assert str(Path(archive).parent) not in str(dict(shard.attrs)), "a path of this machine is in the shard"
        ours = [(int(label), bytes(tokens[a:b].astype(np.int32))) for label, a, b in zip(labels, offsets, offsets[1:])]
        with tarfile.open(archive) as tar:
            members = [(m.name, tar.extractfile(m).read()) for m in tar if m.isfile() and f"/{split}/" in m.name]
        texts = [text.decode("utf-8", errors="replace") for _, text in members]
        encoded = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
        theirs = [(int("/pos/" in name), bytes(np.array(ids, np.int32))) for (name, _), ids in zip(members, encoded)]
        assert sorted(ours) == sorted(theirs), f"{split}.h5 differs from transformers"
        assert ours != theirs and [x[0] for x in ours] != sorted(x[0] for x in ours), f"{split}.h5 is not shuffled"
        print(f"{split}.h5: {len(ours)} examples equal transformers'")
    again = subprocess.run(command(fedmpi, model, archive, output), capture_output=True, text=True)
    assert again.returncode == 2 and "holds" in again.stderr and again.stderr.count("\n") == 1, again.stderr


def check_interruption(fedmpi, model, directory):
    archive, parent = Path(directory) / "long.tar.gz", Path(directory) / "new"
    make_archive(archive, 20000, 60)
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(command(fedmpi, model, archive, parent / "out"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and not list(parent.glob("out/.unfinished-*")):
            time.sleep(0.002)
        process.send_signal(number)
        process.communicate(timeout=120)
        assert process.returncode == -number, f"ended with {process.returncode} after signal {number}: was it done before?"
        assert not parent.exists(), f"left after signal {number}: {list(parent.rglob('*'))}"
    print("interrupted: ended by the signal, nothing left")


def check_full_disk(fedmpi, model, archive, directory):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    output = Path(directory) / "full"
    done = subprocess.run(command(fedmpi, model, archive, output), capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "train.h5" in done.stderr.splitlines()[-1], done.stderr
    assert not output.exists(), list(output.rglob("*"))
    print("full disk:", done.stderr.splitlines()[-1])


def check_mistakes(fedmpi, model, archive, directory):
    output = Path(directory) / "none"
    cases = [command(fedmpi, model, "nowhere.tar.gz", output), command(fedmpi, "nowhere", archive, output),
             command(fedmpi, model, archive, output, "--max-tokens", "1"), command(fedmpi, model, archive, output, "--seed", "x"),
             command(fedmpi, model, archive, output, "--shards", "0"), command(fedmpi, model, archive, output, "--bogus"),
             [fedmpi, "prepare", "imdb", "--archive", archive], [fedmpi, "prepare"]]
    if os.geteuid() != 0:
        cases.append(command(fedmpi, model, archive, "/fedmpi-cannot-be-made-here"))
    for case in cases:
        done = subprocess.run(case, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.strip(), (case, done.returncode, done.stderr)
        assert not output.exists(), case
    print(f"{len(cases)} mistakes: exit 2, nothing written")


def main():
    if len(sys.argv) < 3 or not sys.argv[2]:
        print("skipped: no MiniLM directory was given (FEDMPI_TEST_MINILM)")
        return SKIPPED
    fedmpi, model = sys.argv[1:3]
    real = sys.argv[3] if len(sys.argv) > 3 else ""
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory) / "small.tar.gz"
        make_archive(archive, 60)
        check_shards(fedmpi, model, archive, directory)
        check_full_disk(fedmpi, model, archive, directory)
        check_mistakes(fedmpi, model, archive, directory)
        check_interruption(fedmpi, model, directory)
        if real and Path(real).exists():
            os.mkdir(Path(directory) / "real")
            check_shards(fedmpi, model, real, Path(directory) / "real")
        else:
            print("the real reviews were left out: no archive was given (FEDMPI_TEST_IMDB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Shards made with h5py: honest ones are read, each hostile one is refused with one sentence that says why.

Also: h5py reads what the program writes. Usage: hdf5_hostile.py PROBE
"""

import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import h5py
    import numpy as np
    from program import damaged
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

PROBE = sys.argv[1]
TOKENS = np.array([101, 7, 102, 101, 102], np.uint16)


def honest(file):
    file.attrs["schema"] = np.bytes_("fedmpi-shard")
    file.attrs["schema_version"] = 1
    file.attrs["vocabulary_size"] = 30522
    file.attrs["num_labels"] = 2
    file.attrs["vocabulary_digest"] = np.bytes_("beef")
    file["tokens"] = TOKENS
    file["offsets"] = np.array([0, 3, 5])
    file["labels"] = np.array([1, 0])


def replace(name, **arguments):
    def change(file, _):
        del file[name]
        file.create_dataset(name, **arguments)

    return change


def soft_link(file, _):
    file.move("tokens", "elsewhere")
    file["tokens"] = h5py.SoftLink("/elsewhere")


def external_link(file, directory):
    with h5py.File(directory / "other.h5", "w") as other:
        other["tokens"] = TOKENS
    del file["tokens"]
    file["tokens"] = h5py.ExternalLink(str(directory / "other.h5"), "/tokens")


def external_storage(file, directory):
    (directory / "raw").write_bytes(TOKENS.tobytes())
    del file["tokens"]
    file.create_dataset("tokens", TOKENS.shape, TOKENS.dtype, external=[(str(directory / "raw"), 0, TOKENS.nbytes)])


def virtual(file, directory):
    with h5py.File(directory / "source.h5", "w") as other:
        other["tokens"] = TOKENS
    layout = h5py.VirtualLayout(TOKENS.shape, TOKENS.dtype)
    layout[:] = h5py.VirtualSource(str(directory / "source.h5"), "tokens", TOKENS.shape)
    del file["tokens"]
    file.create_virtual_dataset("tokens", layout)


def attribute(name, value):
    def change(file, _):
        file.attrs[name] = value

    return change


def group(file, _):
    del file["tokens"]
    file.create_group("tokens")


def too_little_storage(path):
    """The raw data's address and size as its layout message has them: 10 bytes become 4."""
    with h5py.File(path) as file:
        address = file["tokens"].id.get_offset()
    whole, part = struct.pack("<QQ", address, TOKENS.nbytes), struct.pack("<QQ", address, 4)
    bytes_ = path.read_bytes()
    assert bytes_.count(whole) == 1
    path.write_bytes(bytes_.replace(whole, part))


def missing(file, _):
    del file["labels"]


ACCEPTED = {
    "as it is": lambda file, _: None,
    "deflate, shuffle, fletcher32": replace("tokens", data=TOKENS, compression="gzip", shuffle=True, fletcher32=True),
    "int32 tokens": replace("tokens", data=TOKENS.astype(np.int32)),
    "int32 attribute": attribute("num_labels", np.int32(2)),
}
REFUSED = {
    "soft link": (soft_link, "link"),
    "external link": (external_link, "link"),
    "external storage": (external_storage, "other files"),
    "virtual dataset": (virtual, "compact, contiguous or chunked"),
    "lzf filter": (replace("tokens", data=TOKENS, compression="lzf"), "filter 32000"),
    "scale-offset filter": (replace("tokens", data=TOKENS, scaleoffset=0), "filter 6"),
    "int64 tokens": (replace("tokens", data=TOKENS.astype(np.int64)), "/tokens must be"),
    "big endian": (replace("tokens", data=TOKENS.astype(">u2")), "element type"),
    "int8": (replace("tokens", data=TOKENS.astype(np.int8)), "element type"),
    "compound": (replace("tokens", data=np.zeros(3, [("a", "i4"), ("b", "i4")])), "element type"),
    "strings": (replace("tokens", data=["a", "b"]), "element type"),
    "five dimensions": (replace("tokens", data=np.zeros((1,) * 5, np.uint16)), "1 to 4 dimensions"),
    "scalar": (replace("tokens", data=np.uint16(3)), "1 to 4 dimensions"),
    "no data": (replace("tokens", data=h5py.Empty("u2")), "1 to 4 dimensions"),
    "bomb of zeros": (replace("tokens", shape=(1 << 36,), dtype="u2", chunks=(1 << 20,), compression="gzip"), "claims"),
    "nothing but a shape": (replace("tokens", shape=(1 << 30,), dtype="u2"), "claims"),
    "huge shape": (replace("tokens", shape=(1 << 60,), dtype="u2", chunks=(16,)), "absurd"),
    "huge chunk": (replace("tokens", shape=(8,), maxshape=(None,), dtype="u2", chunks=(1 << 29,)), "chunks of more than"),
    "variable string": (attribute("schema", "fedmpi-shard"), "fixed length"),
    "array of versions": (attribute("schema_version", np.array([1, 1])), "single value"),
    "float version": (attribute("schema_version", 1.0), "int32 or int64"),
    "future version": (attribute("schema_version", 2), "schema_version 2"),
    "group": (group, "not a dataset"),
    "missing dataset": (missing, "holds no /labels"),
}
# Files of arrays go through the same reader; these are what differs.
ARRAYS_ACCEPTED = {
    "bytes": lambda file, _: None,
    "float32, four dimensions": replace("features", data=np.zeros((6, 3, 2, 2), np.float32)),
    "deflate, resizable": replace("features", data=np.ones((6, 2), np.uint8), compression="gzip", maxshape=(None, 2)),
    "uint16 labels": replace("labels", data=np.arange(6, dtype=np.uint16)),
    "more than is needed": lambda file, _: file.create_dataset("names", data=["a", "b"]),
}
ARRAYS_REFUSED = {
    "five dimensions": (replace("features", data=np.zeros((6, 1, 1, 1, 1), np.float32)), "1 to 4 dimensions"),
    "half precision": (replace("features", data=np.zeros((6, 2), np.float16)), "element type"),
    "truth values": (replace("labels", data=np.zeros(6, bool)), "element type"),
    "int32 features": (replace("features", data=np.zeros((6, 2), np.int32)), "neither float32 nor uint8"),
    "bomb of zeros": (replace("features", shape=(1 << 20, 1 << 20), dtype="u1", compression="gzip"), "claims"),
    "lzf filter": (replace("features", data=np.zeros((6, 2), np.uint8), compression="lzf"), "filter 32000"),
}


def honest_arrays(file):
    file["features"] = np.arange(12, dtype=np.uint8).reshape(6, 2)
    file["labels"] = np.array([0, 1, 2, 0, 1, 2])


def probe(what, path):
    return subprocess.run([PROBE, what, str(path)], capture_output=True, text=True, timeout=60)


def expect_refused(name, path, expected, how="read-shard"):
    result = probe(how, path)
    assert result.returncode == 2 and expected in result.stderr, (name, result)
    assert "shard.h5: " in result.stderr and result.stderr.count("\n") == 1, (name, result)
    print(f"{name}: {result.stderr.strip().split('shard.h5: ')[1]}")


def check_hostile(directory):
    for name, change in ACCEPTED.items():
        with h5py.File(directory / "shard.h5", "w") as file:
            honest(file)
            change(file, directory)
        result = probe("read-shard", directory / "shard.h5")
        assert result.stdout == f"{TOKENS.sum()} tokens\n", (name, result)
    for name, (change, expected) in REFUSED.items():
        with h5py.File(directory / "shard.h5", "w") as file:
            honest(file)
            change(file, directory)
        expect_refused(name, directory / "shard.h5", expected)
    with h5py.File(directory / "shard.h5", "w") as file:
        honest(file)
    too_little_storage(directory / "shard.h5")
    expect_refused("too little storage", directory / "shard.h5", "4 bytes where its shape takes 10")


def check_damaged(directory):
    """Nothing of HDF5's own words, which tell of its insides."""
    advice = ": make it again, or copy it again from where it is whole\n"
    with h5py.File(directory / "shard.h5", "w") as file:
        honest(file)
        replace("tokens", data=TOKENS, chunks=(5,), fletcher32=True)(file, directory)
    whole = (directory / "shard.h5").read_bytes()
    damaged(directory, "shard.h5", "tokens", "shard.h5")
    expect_refused("damaged", directory / "shard.h5", "shard.h5: is cut short or damaged (dataset /tokens could not be read)" + advice)
    for size in range(len(whole) // 8, len(whole), len(whole) // 8):
        (directory / "shard.h5").write_bytes(whole[:size])
        expect_refused(f"{size} of {len(whole)} bytes", directory / "shard.h5", "could not be opened)" + advice)
    for content in (b"", whole[:6], b"text" * 1000):
        (directory / "shard.h5").write_bytes(content)
        expect_refused(f"{len(content)} bytes", directory / "shard.h5", "shard.h5: is no HDF5 file: name another, or make it again\n")


def check_arrays(directory):
    for name, change in ARRAYS_ACCEPTED.items():
        with h5py.File(directory / "shard.h5", "w") as file:
            honest_arrays(file)
            change(file, directory)
        result = probe("read-arrays", directory / "shard.h5")
        assert result.stdout == "6 examples\n", (name, result)
    for name, (change, expected) in ARRAYS_REFUSED.items():
        with h5py.File(directory / "shard.h5", "w") as file:
            honest_arrays(file)
            change(file, directory)
        expect_refused(name, directory / "shard.h5", expected, "read-arrays")


def check_h5py_reads(directory):
    assert probe("write-shard", directory / "written.h5").returncode == 0
    with h5py.File(directory / "written.h5") as file:
        assert file["tokens"].dtype == np.uint16 and (file["tokens"][:] == TOKENS).all()
        assert (file["offsets"][:] == [0, 3, 5]).all() and (file["labels"][:] == [1, 0]).all()
        assert file.attrs["schema"].decode() == "fedmpi-shard" and file.attrs["vocabulary_size"] == 30522
        assert file.attrs["source"].decode() == "naïve"
    assert probe("save-checkpoint", directory / "round_0003.h5").returncode == 0
    with h5py.File(directory / "round_0003.h5") as file:
        assert file.attrs["round"] == 3
        assert (file["parameters"][:6] == np.arange(6)).all()
        assert (file["strategy/momentum"][:] == np.arange(4.0)).all()
        (entry,) = json.loads(file.attrs["layout"])
        assert entry == {"name": "weight", "shape": [2, 3], "role": "shared", "offset": 0, "learning_rate": 0.5}


with tempfile.TemporaryDirectory() as scratch:
    check_hostile(Path(scratch))
    check_damaged(Path(scratch))
    check_arrays(Path(scratch))
    check_h5py_reads(Path(scratch))
print("ok")

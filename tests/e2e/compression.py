"""Every compression of updates gives the same digests on any number of ranks, resumed and verified; sends the bytes that one
computes by hand; restores what NumPy and torch say; and learns nearly what a run without it does.
"""
import argparse
import csv
import pathlib
import sys

try:
    import h5py
    import numpy as np
    import torch

    from program import Program, as_options
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

JOB = """\
[run]
name = "compression"
rounds = 4
threads = 1
[federation]
clients = 5
fraction_fit = 0.8
[model]
name = "mlp"
hidden = [32]
[data]
name = "synthetic"
train_examples = 800
test_examples = 400
[training]
batch_size = 8
optimizer = "sgd"
learning_rate = 0.05
precision = "float32"
[evaluation]
federated = false
[checkpoint]
keep = 0
"""
ROUNDS, COHORT, BLOCK, FRACTION, ROOM = 4, 4, 48, 0.1, 0.03
KINDS = {"none": "none", "bf16": "bf16", "stochastic bf16": '{ name = "bf16", rounding = "stochastic" }',
         "int8": f'{{ name = "int8", block_size = {BLOCK} }}', "top_k": f'{{ name = "top_k", fraction = {FRACTION} }}'}
# With what else the updates go through: two of them and a vector of the client's own, a head that stays, slices.
STRATEGIES = {"scaffold": "top_k", "fedper": "int8", "fedmedian": "stochastic bf16"}


def compressed(kind):
    return f"federation.compression={KINDS[kind]}"


def bytes_by_hand(kind, size):
    """Of a vector of so many float32."""
    return {"none": 4 * size, "bf16": 2 * size, "stochastic bf16": 2 * size, "int8": size + 4 * -(-size // BLOCK),
            "top_k": 8 * round(FRACTION * size)}[kind]


def shared_size(program, output):
    """In elements: each tensor begins at a multiple of 16."""
    values, entries = program.tensors(output, 0)
    return sum(-(-value.size // 16) * 16 for name, value in values.items() if entries[name]["role"] == "shared")


def anywhere(program, kind, strategy):
    """Returns the rounds of a run of the job."""
    name, changes = f"{strategy}_{kind.replace(' ', '_')}", (compressed(kind), f"strategy.name={strategy}")
    program.run(name, *changes, "run.threads=2")
    rounds, results = program.rounds(name), program.results(name)
    assert len({line["digest"] for line in rounds}) == ROUNDS + 1, rounds
    program.run(name + "_stopped", *changes, "run.rounds=2", ranks=3)
    assert program.results(name + "_stopped") == results[:3], f"{name}: other results on 3 ranks"
    program("run", "job.toml", "--output", name + "_stopped", *as_options(changes), "--resume", ranks=2)
    assert program.results(name + "_stopped") == results, f"{name}: other results after a resume on 2 ranks"
    done = program("verify", f"{name}_stopped/checkpoints/round_0004.h5")
    assert "reproduced" in done.stdout + done.stderr, done

    vectors = 2 if strategy == "scaffold" else 1
    expected = COHORT * vectors * bytes_by_hand(kind, shared_size(program, name))
    assert [line.get("update_bytes") for line in rounds] == [None] + [expected] * ROUNDS, (name, expected, rounds)
    with open(program.directory / name / "metrics.csv", encoding="utf-8", newline="") as file:
        assert [line["update_bytes"] for line in csv.DictReader(file)] == [""] + [str(expected)] * ROUNDS
    print(f"{strategy}, {kind}: {expected} bytes a round; the same on 1 and 3 ranks, resumed on 2, verified", flush=True)
    return rounds


def update_of(program, output):
    """Of the only client, as the server got it: the parameters before and after, in float64."""
    checkpoints = program.directory / output / "checkpoints"
    with h5py.File(checkpoints / "round_0000.h5") as before, h5py.File(checkpoints / "round_0001.h5") as after:
        return after["parameters"][:].astype(np.float64) - before["parameters"][:]


def as_the_references_say(program):
    """One client in one round: what each kind makes of the update that it has without."""
    updates = {}
    for kind in KINDS:
        output = f"one_{kind.replace(' ', '_')}"
        program.run(output, compressed(kind), "federation.clients=1", "federation.fraction_fit=1", "run.rounds=1")
        updates[kind] = update_of(program, output)
    whole = updates["none"]
    near = 2e-7  # the parameters are float32
    expected = torch.from_numpy(whole).float().bfloat16().double().numpy()
    assert np.abs(updates["bf16"] - expected).max() <= near
    assert np.abs(updates["bf16"] - whole).max() > 10 * near
    spacing = 2.0 ** (np.floor(np.log2(np.maximum(np.abs(whole), 1e-30))) - 7)
    assert (np.abs(updates["stochastic bf16"] - whole) <= spacing + near).all()
    assert np.abs(updates["stochastic bf16"] - expected).max() > 10 * near
    blocks = np.pad(whole, (0, -len(whole) % BLOCK)).reshape(-1, BLOCK)
    steps = np.repeat(np.abs(blocks).max(axis=1) / 127, BLOCK)[:len(whole)]
    assert (np.abs(updates["int8"] - whole) <= steps + near).all()
    codes = updates["int8"][steps > 0] / steps[steps > 0]
    assert np.abs(codes - np.round(codes)).max() < 0.05, "no whole multiples of the scale"
    kept = np.argsort(-np.abs(whole), kind="stable")[:round(FRACTION * len(whole))]
    assert set(np.flatnonzero(updates["top_k"])) == set(kept)
    assert np.abs(updates["top_k"][kept] - whole[kept]).max() <= near
    print(f"of {len(whole)} numbers: bf16 as torch's, int8 whole multiples of its scales, top_k NumPy's {len(kept)} largest", flush=True)


def what_is_kept(program):
    """Error feedback: a vector a client in the checkpoints, which check counts and another job cannot go on from."""
    size = shared_size(program, "fedavg_top_k")
    for output, vectors in (("fedavg_int8", 0), ("fedavg_top_k", 1), ("scaffold_top_k", 3)):
        files = list((program.directory / output / "checkpoints").glob("client_states/*"))
        assert (len(files) > 0) == (vectors > 0), files
        for path in files:
            with h5py.File(path) as file:
                assert file["kept"].shape == (vectors * size,), path
    facts = {kind: program("check", "job.toml", "--json", *as_options([compressed(kind)])).stdout for kind in ("int8", "top_k")}
    assert '"client_state_bytes": 0' in facts["int8"], facts["int8"]
    files = COHORT * ROUNDS  # keep = 0: all of them
    assert f'"client_state_bytes": {files * 4 * size}' in facts["top_k"], facts["top_k"]
    for change in (compressed("int8"), "federation.compression.fraction=0.2", "federation.compression.error_feedback=false"):
        words = ["--set", compressed("top_k"), "--set", change]
        said = program("run", "job.toml", "--output", "fedavg_top_k", "--resume", *words, expected=2).stderr
        assert "federation.compression." in said and "another one" in said, said


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun", "--workdir"):
        parser.add_argument(name, required=True)
    program = Program(parser.parse_args(), "compression")
    (program.directory / "job.toml").write_text(JOB, encoding="utf-8")
    as_the_references_say(program)
    runs = {kind: anywhere(program, kind, "fedavg") for kind in KINDS}
    for strategy, kind in STRATEGIES.items():
        anywhere(program, kind, strategy)
    assert len({rounds[-1]["digest"] for rounds in runs.values()}) == len(KINDS)
    what_is_kept(program)
    before, after = runs["none"][0]["central"], {kind: rounds[-1]["central"] for kind, rounds in runs.items()}
    print(f"central loss and accuracy, before any training {before}, then {after}")
    for kind, reached in after.items():
        assert reached["accuracy"] > before["accuracy"] + 0.1 and abs(reached["accuracy"] - after["none"]["accuracy"]) <= ROOM, kind
        assert reached["loss"] < before["loss"] / 2 and abs(reached["loss"] - after["none"]["loss"]) <= ROOM, kind


if __name__ == "__main__":
    main()

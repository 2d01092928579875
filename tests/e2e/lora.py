"""MiniLM's adapters trained on real reviews by the whole program, and what they learned computed again by transformers.

lora.py --fedmpi PROGRAM --mpirun PROGRAM --minilm DIR --archive FILE --workdir DIR
Exit status 77 where the model, the reviews or a package is missing.
"""
import argparse
import os
import pathlib
import sys

try:
    import h5py
    import numpy as np
    import torch
    import transformers

    from program import Program
    from reviews import small_archive
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

JOB = """\
[run]
name = "lora"
rounds = 2
threads = 1
[federation]
clients = 3
[model]
name = "transformer"
path = "{minilm}"
lora_rank = 8
lora_alpha = 16
[data]
name = "hdf5_text"
path = "shards"
max_tokens = 96
train_examples_per_client = 16
test_examples_per_client = 0
[training]
batch_size = 8
learning_rate = 2e-3
precision = "float32"
[evaluation]
federated = false
"""
LARGEST_SHARE = 0.02
BOUND = 1e-4


def tensors_of(program, output, number):
    """Role and value by name."""
    values, entries = program.tensors(output, number)
    return {name: (entries[name]["role"], torch.from_numpy(value.copy())) for name, value in values.items()}


def size_of(tensors, role):
    return sum(value.numel() for own, value in tensors.values() if own == role)


def loss_by_transformers(minilm, tensors, scale, shard, max_tokens):
    """The mean loss of all examples, each adapter folded into its matrix."""
    state = {name: value.double() for name, (_, value) in tensors.items() if ".lora_" not in name}
    adapters = [name for name in tensors if name.endswith(".lora_A.weight")]
    for name in adapters:
        module = name.removesuffix(".lora_A.weight")
        state[module + ".weight"] += scale * tensors[module + ".lora_B.weight"][1].double() @ tensors[name][1].double()
    model = transformers.BertForSequenceClassification.from_pretrained(minilm).double().eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(name.endswith("position_ids") for name in missing), (missing, unexpected)
    with h5py.File(shard) as file:
        tokens, offsets, labels = (file[name][:].astype(np.int64) for name in ("tokens", "offsets", "labels"))
    losses = []
    for begin, end, label in zip(offsets, offsets[1:], labels):
        row = tokens[begin:end]
        if len(row) > max_tokens:
            row = np.append(row[:max_tokens - 1], row[-1])
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(row)[None]).logits
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor([label])).item())
    return sum(losses) / len(losses), len(adapters)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("--fedmpi", "--mpirun"):
        parser.add_argument(name, required=True)
    parser.add_argument("--minilm", default="")
    parser.add_argument("--archive", default="")
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    args = parser.parse_args()
    if not (os.path.isdir(args.minilm) and os.path.exists(args.archive)):
        print("skipped: this test needs MiniLM and the review archive")
        sys.exit(77)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    program = Program(args, "lora")
    directory = program.directory
    minilm = os.path.abspath(args.minilm)
    small_archive(args.archive, directory / "aclImdb", {"train": 24, "test": 12})
    (directory / "job.toml").write_text(JOB.format(minilm=minilm), encoding="utf-8")
    program("prepare", "imdb", "--archive", "aclImdb", "--vocabulary", os.path.join(minilm, "vocab.txt"), "--output", "shards")

    reference = None
    for ranks, threads in ((1, 1), (1, 2), (3, 1)):
        program.run(f"lora_{ranks}_{threads}", f"run.threads={threads}", ranks=ranks)
        rounds = program.rounds(f"lora_{ranks}_{threads}")
        digests = [line["digest"] for line in rounds]
        print(f"{ranks} ranks, {threads} threads: {' '.join(digest[:12] for digest in digests)}", flush=True)
        assert len(set(digests)) == 3, digests
        reference = reference or digests
        assert digests == reference
    losses = [line["central"]["loss"] for line in rounds]
    fit_losses = [line["fit"]["loss"] for line in rounds[1:]]
    print("central losses", losses, "fit losses", fit_losses)
    assert fit_losses[1] < fit_losses[0]

    first, last = tensors_of(program, "lora_1_1", 0), tensors_of(program, "lora_1_1", 2)
    for name, (role, value) in last.items():
        assert (role == "frozen") == torch.equal(value, first[name][1]), f"{name}, {role}"
    program.run("full", "model.lora_rank=0", "run.rounds=1", ranks=3)
    full = program.rounds("full")
    shared, all_shared = size_of(last, "shared"), size_of(tensors_of(program, "full", 0), "shared")
    per_round = [lines[1]["update_bytes"] for lines in (rounds, full)]
    print(f"shared parameters {shared} of {all_shared}: {shared / all_shared:.2%}; bytes of updates in a round {per_round}")
    assert shared <= LARGEST_SHARE * all_shared

    for number, expected in ((0, losses[0]), (2, losses[2])):
        loss, num_adapters = loss_by_transformers(minilm, tensors_of(program, "lora_1_1", number), 16 / 8,
                                                  directory / "shards" / "test.h5", 96)
        print(f"round {number}: central loss {expected:.6f}, by transformers with {num_adapters} adapters folded in {loss:.6f}")
        assert num_adapters == 12 and abs(loss - expected) <= BOUND, (loss, expected)


if __name__ == "__main__":
    main()

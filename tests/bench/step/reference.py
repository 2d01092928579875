"""Training steps of transformers on chosen examples of a shard, as Hugging Face's quick start takes them: a batch padded
to its longest review, torch.optim.AdamW, eager mode. step.py runs this.

    reference.py MODEL_DIRECTORY SHARD bf16|float32 THREADS < one line of example numbers a step

bf16 is autocast with the fused AdamW. Prints one line a step: seconds of the training step, tokens that are not padding,
seconds of an evaluation of the same batch.
"""
import contextlib
import sys
import time

import h5py
import torch
import transformers


def padded(shard, examples):
    offsets = shard["offsets"]
    rows = [torch.as_tensor(shard["tokens"][offsets[i]:offsets[i + 1]].astype("int64")) for i in examples]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.as_tensor([int(shard["labels"][i]) for i in examples])}


def main():
    directory, path, precision, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(1)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(directory, num_labels=2)
    bf16 = precision == "bf16"
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, fused=bf16 or None)

    def autocast():
        return torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext()

    with h5py.File(path) as shard:
        for line in sys.stdin:
            batch = padded(shard, [int(word) for word in line.split()])
            model.train()
            started = time.perf_counter()
            with autocast():
                loss = model(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            step_seconds = time.perf_counter() - started
            model.eval()
            started = time.perf_counter()
            with torch.no_grad(), autocast():
                model(**batch)
            print(step_seconds, int(batch["attention_mask"].sum()), time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()

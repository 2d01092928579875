#!/usr/bin/env python3
"""Compares the model plugin `transformer` with the package transformers: logits, loss and every gradient.

transformer_parity.py --probe PROGRAM [--minilm DIRECTORY] [--small]
Exit status 77 when transformers is not installed. Prints the largest differences of each case.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import transformers
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

LOGITS_BOUND = 1e-5
GRADIENT_BOUND = 1e-4


def random_sequences(rng, lengths, vocabulary):
    return [rng.integers(1, vocabulary, length).tolist() for length in lengths]


def padded(sequences):
    longest = max(len(s) for s in sequences)
    ids = torch.tensor([s + [0] * (longest - len(s)) for s in sequences])
    mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s in sequences])
    return ids, mask


def logits_of(model, ids, mask, pooling):
    if pooling == "head":
        return model(input_ids=ids, attention_mask=mask).logits
    hidden = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return model.classifier((hidden * weights).sum(1) / weights.sum(1))


def reference(model, sequences, labels, pooling):
    """In float64, so that what is measured is the plugin's error alone."""
    model = model.double().eval()
    ids, mask = padded(sequences)
    logits = logits_of(model, ids, mask, pooling)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    gradients = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    return logits.detach().numpy(), loss.item(), gradients


def run_probe(probe, directory, pooling, sequences, labels, num_labels, work):
    batch = os.path.join(work, "batch.json")
    out = os.path.join(work, "out")
    with open(batch, "w", encoding="utf-8") as file:
        json.dump({"sequences": sequences, "labels": labels, "num_labels": num_labels}, file)
    subprocess.run([probe, directory, pooling, batch, out], check=True)
    with open(out + ".json", encoding="utf-8") as file:
        result = json.load(file)
    flat = {kind: np.fromfile(f"{out}.{kind}", np.float32) for kind in ("values", "gradients")}
    tensors = {}
    for name, place in result["tensors"].items():
        size = int(np.prod(place["shape"]))
        tensors[name] = {kind: array[place["offset"]:place["offset"] + size].reshape(place["shape"])
                         for kind, array in flat.items()}
    return result, tensors


def relative(ours, theirs, total):
    """By norm. A key's bias cancels in the softmax: its gradient is zero but for rounding, so what rounding made of it
    is measured against a thousandth of the whole gradient's norm."""
    norm = np.linalg.norm(theirs)
    scale = norm if norm > 1e-9 * total else 1e-3 * total
    return np.linalg.norm(ours.astype(np.float64) - theirs) / scale


def compare(title, args, model, directory, pooling, lengths, num_labels):
    rng = np.random.default_rng(7)
    sequences = random_sequences(rng, lengths, model.config.vocab_size)
    labels = rng.integers(0, num_labels, len(lengths)).tolist()
    with tempfile.TemporaryDirectory() as work:
        if directory is None:
            directory = os.path.join(work, "model")
            model.save_pretrained(directory)
        result, tensors = run_probe(args.probe, directory, pooling, sequences, labels, num_labels, work)
    # A head that the files lack is random: the reference takes the plugin's values.
    state = model.state_dict()
    taken = {name: torch.from_numpy(t["values"].copy()) for name, t in tensors.items()}
    missing = sorted(set(taken) - set(state))
    assert not missing, f"names that transformers does not have: {missing}"
    untouched = sorted(n for n in set(state) - set(taken) if not n.endswith("position_ids"))
    if pooling == "head":
        assert not untouched, f"parameters that the plugin lacks: {untouched}"
    model.load_state_dict(taken, strict=False)
    logits, loss, gradients = reference(model, sequences, labels, pooling)
    ours = np.array(result["logits"]).reshape(logits.shape)
    assert (ours.argmax(axis=1) == result["predictions"]).all(), "not predicted is what has the largest logit"
    worst_logit = np.abs(ours - logits).max()
    total = np.sqrt(sum(np.linalg.norm(g) ** 2 for g in gradients.values()))
    errors = {name: relative(t["gradients"], gradients[name], total) for name, t in tensors.items()}
    worst = max(errors, key=errors.get)
    loss_error = max(abs(result["loss"] - loss), abs(result["evaluate_loss"] - loss))
    print(f"{title}: logits differ by {worst_logit:.2e}, loss by {loss_error:.2e}, "
          f"gradients by at most {errors[worst]:.2e} of their norm ({worst})", flush=True)
    return worst_logit <= LOGITS_BOUND and loss_error <= LOGITS_BOUND and errors[worst] <= GRADIENT_BOUND


def distilbert(seed, **config):
    torch.manual_seed(seed)
    return transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(**config))


def bert(seed, **config):
    torch.manual_seed(seed)
    return transformers.BertForSequenceClassification(transformers.BertConfig(**config))


SMALL_DISTILBERT = dict(vocab_size=211, dim=48, hidden_dim=80, n_layers=2, n_heads=3, max_position_embeddings=96,
                        num_labels=3, initializer_range=0.2)
SMALL_BERT = dict(vocab_size=211, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
                  max_position_embeddings=96, num_labels=3, initializer_range=0.2)
SMALL_LENGTHS = [1, 2, 96, 17, 33, 64, 65]


def minilm(directory):
    torch.manual_seed(3)
    return transformers.BertForSequenceClassification.from_pretrained(directory)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--probe", required=True)
    parser.add_argument("--minilm", default="")
    parser.add_argument("--small", action="store_true", help="leave out the models of real size")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    good = True
    for pooling in ("head", "mean"):
        good &= compare(f"small distilbert, {pooling}", args, distilbert(1, **SMALL_DISTILBERT), None, pooling,
                        SMALL_LENGTHS, 3)
        good &= compare(f"small bert, {pooling}", args, bert(2, **SMALL_BERT), None, pooling, SMALL_LENGTHS, 3)
    if not args.small:
        good &= compare("distilbert of real size", args, distilbert(1), None, "head", [512, 3, 129, 300], 2)
        good &= compare("bert of real width", args, bert(1, num_hidden_layers=4), None, "head", [512, 3, 129, 300], 2)
    if args.minilm:
        for pooling in ("head", "mean"):
            good &= compare(f"MiniLM, {pooling}", args, minilm(args.minilm), args.minilm, pooling,
                            [512, 5, 64, 277, 90], 2)
    else:
        print("MiniLM: skipped, its directory was not given")
    print("equal within bounds" if good else "DIFFERENT")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""A vocabulary, a model and reviews for tests that need some text but no particular one."""
import json
import struct

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "good", "bad", "film", "very", "not", "."]


def write_vocabulary(path, words):
    path.write_text("".join(word + "\n" for word in words), encoding="utf-8")


def write_model(directory, positions=64):
    """A DistilBERT of one layer, eight wide: config.json, vocab.txt and a safetensors file of small numbers."""
    directory.mkdir()
    write_vocabulary(directory / "vocab.txt", WORDS)
    width, hidden = 16, 32
    (directory / "config.json").write_text(json.dumps({
        "model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"], "activation": "gelu",
        "dim": width, "hidden_dim": hidden, "n_heads": 2, "n_layers": 1, "vocab_size": len(WORDS),
        "max_position_embeddings": positions, "pad_token_id": 0, "sinusoidal_pos_embds": False, "dropout": 0.1,
        "attention_dropout": 0.1, "seq_classif_dropout": 0.2, "initializer_range": 0.02}), encoding="utf-8")
    shapes = {"distilbert.embeddings.word_embeddings.weight": [len(WORDS), width],
              "distilbert.embeddings.position_embeddings.weight": [positions, width],
              "distilbert.embeddings.LayerNorm.weight": [width], "distilbert.embeddings.LayerNorm.bias": [width]}
    layer = "distilbert.transformer.layer.0."
    for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
        shapes[f"{layer}attention.{name}.weight"] = [width, width]
        shapes[f"{layer}attention.{name}.bias"] = [width]
    for name in ("sa_layer_norm", "output_layer_norm"):
        shapes[f"{layer}{name}.weight"] = [width]
        shapes[f"{layer}{name}.bias"] = [width]
    for name, rows, columns in (("ffn.lin1", hidden, width), ("ffn.lin2", width, hidden)):
        shapes[f"{layer}{name}.weight"] = [rows, columns]
        shapes[f"{layer}{name}.bias"] = [rows]
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) == 2 else 1)
        begin = len(data)
        data += struct.pack(f"<{count}f", *(0.01 * (i % 7 - 3) for i in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_reviews(directory):
    """Twenty a split, in the layout of the publisher's archive."""
    for split in ("train", "test"):
        for label, word, stars in (("pos", "good", 9), ("neg", "bad", 2)):
            folder = directory / split / label
            folder.mkdir(parents=True)
            for i in range(10):
                (folder / f"{i}_{stars}.txt").write_text(f"a {'very ' * i}{word} film.", encoding="utf-8")

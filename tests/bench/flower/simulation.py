"""The job of jobs/imdb.toml as a simulation of Flower: its quick start for Transformers, on shards of `fedmpi prepare`.

    simulation.py SHARDS MODEL_DIRECTORY ROUNDS CLIENTS EXAMPLES_PER_CLIENT CORES_PER_CLIENT

Needs flwr[simulation], torch, transformers and h5py, best in a virtual environment of its own. compare.py runs this.
"""
import collections
import sys

import flwr
import h5py
import torch
import transformers
from flwr.simulation import run_simulation

SHARDS, MODEL, ROUNDS, CLIENTS, EXAMPLES, CORES = (*sys.argv[1:3], *map(int, sys.argv[3:7]))
BATCH = 32


def load(split, client):
    """This client's examples, as a data loader whose batches are padded to their longest review."""
    rows = []
    with h5py.File(f"{SHARDS}/{split}.h5") as shard:
        offsets = shard["offsets"][:]
        for i in range(client * EXAMPLES, (client + 1) * EXAMPLES):
            rows.append({"input_ids": shard["tokens"][offsets[i]:offsets[i + 1]].tolist(), "labels": int(shard["labels"][i])})
    collate = transformers.DataCollatorWithPadding(transformers.BertTokenizerFast.from_pretrained(MODEL))
    return torch.utils.data.DataLoader(rows, shuffle=split == "train", batch_size=BATCH, collate_fn=collate)


def get_parameters(net):
    return [value.cpu().numpy() for value in net.state_dict().values()]


class Client(flwr.client.NumPyClient):
    def __init__(self, number):
        self.number = number
        self.net = transformers.AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=2)

    def load_parameters(self, parameters):
        pairs = zip(self.net.state_dict().keys(), map(torch.as_tensor, parameters))
        self.net.load_state_dict(collections.OrderedDict(pairs), strict=True)

    def fit(self, parameters, config):
        self.load_parameters(parameters)
        optimizer = torch.optim.AdamW(self.net.parameters(), lr=5e-5, eps=1e-6, weight_decay=0.0)
        self.net.train()
        loader = load("train", self.number)
        for batch in loader:
            loss = self.net(**batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return get_parameters(self.net), len(loader.dataset), {}

    def evaluate(self, parameters, config):
        self.load_parameters(parameters)
        self.net.eval()
        loader, loss, correct = load("test", self.number), 0.0, 0
        with torch.no_grad():
            for batch in loader:
                outputs = self.net(**batch)
                loss += outputs.loss.item() * len(batch["labels"])
                correct += int((outputs.logits.argmax(-1) == batch["labels"]).sum())
        count = len(loader.dataset)
        return loss / count, count, {"accuracy": correct / count}


def weighted_average(metrics):
    total = sum(count for count, _ in metrics)
    return {"accuracy": sum(count * values["accuracy"] for count, values in metrics) / total}


def client_fn(context):
    torch.set_num_threads(CORES)
    return Client(int(context.node_config["partition-id"])).to_client()


def server_fn(context):
    net = transformers.AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=2)
    strategy = flwr.server.strategy.FedAvg(
        fraction_fit=1.0, fraction_evaluate=1.0, min_fit_clients=CLIENTS, min_evaluate_clients=CLIENTS,
        min_available_clients=CLIENTS, accept_failures=False, evaluate_metrics_aggregation_fn=weighted_average,
        initial_parameters=flwr.common.ndarrays_to_parameters(get_parameters(net)))
    return flwr.server.ServerAppComponents(strategy=strategy, config=flwr.server.ServerConfig(num_rounds=ROUNDS))


if __name__ == "__main__":
    run_simulation(server_app=flwr.server.ServerApp(server_fn=server_fn), client_app=flwr.client.ClientApp(client_fn=client_fn),
                   num_supernodes=CLIENTS, backend_config={"client_resources": {"num_cpus": CORES, "num_gpus": 0.0}})

"""One job of compare.py in pfl-research: prints the seconds of each central iteration as JSON.

    pfl_reference.py cnn|logistic DATA.h5 --clients 10000 --cohort 200 --examples 10 --batch-size 5 --epochs 5 --iterations 5
"""
import argparse
import json
import time

import h5py
import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam.base import NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel


class Classifier(torch.nn.Sequential):
    def loss(self, inputs, targets, eval=False):
        self.eval() if eval else self.train()
        return torch.nn.functional.cross_entropy(self(inputs), targets.long())

    def metrics(self, inputs, targets, eval=True):
        return {"loss": Weighted(self.loss(inputs, targets, eval).item() * len(inputs), len(inputs))}


def make_model(name):
    """The CNN is the one of pfl-research's CIFAR-10 benchmark, as the plugin cnn."""
    if name == "logistic":
        return Classifier(torch.nn.Linear(20, 10))
    return Classifier(torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 64, 3), torch.nn.ReLU(),
                      torch.nn.MaxPool2d(2), torch.nn.Dropout(0.25), torch.nn.Flatten(), torch.nn.Linear(64 * 14 * 14, 128),
                      torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(128, 10))


class Clock(TrainingProcessCallback):
    def __init__(self):
        self.seconds, self.last = [], time.perf_counter()

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now
        return False, Metrics()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=("cnn", "logistic"))
    parser.add_argument("data")
    for name in ("clients", "cohort", "examples", "batch-size", "epochs", "iterations", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    np.random.seed(1)
    with h5py.File(args.data) as file:
        features, labels = file["features"][:].astype(np.float32), file["labels"][:]
    if args.model == "cnn":
        features /= 255

    def dataset(user):
        own = slice(user * args.examples, (user + 1) * args.examples)
        return Dataset((torch.from_numpy(features[own]), torch.from_numpy(labels[own])))

    module = make_model(args.model)
    model = PyTorchModel(module, torch.optim.SGD, torch.optim.SGD(module.parameters(), lr=1.0))
    users = FederatedDataset(dataset, get_user_sampler("random", list(range(args.clients))))
    clock = Clock()
    FederatedAveraging().run(
        NNAlgorithmParams(central_num_iterations=args.iterations, evaluation_frequency=10**9, train_cohort_size=args.cohort,
                          val_cohort_size=0),
        SimulatedBackend(training_data=users, val_data=users), model,
        NNTrainHyperParams(local_num_epochs=args.epochs, local_learning_rate=0.05, local_batch_size=args.batch_size),
        callbacks=[clock])
    print(json.dumps(clock.seconds))


if __name__ == "__main__":
    main()

#!/usr/bin/python3
"""Learns handwritten digits with Horovod: all ranks share each batch and average their gradients.

    mpirun -n RANKS python3 digits.py [--epochs N]

The data are scikit-learn's 1797 digits, which come with it. Checked: all ranks end with the same parameters, bit by bit,
and the accuracy is that of one process that learns alone from the whole batches, within noise.
"""

import argparse
import sys
from pathlib import Path

import horovod.torch as hvd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

sys.path.append(str(Path(__file__).resolve().parent.parent))
from measure import Clock, digest_of

# Divisible by 1 to 4, 6 and 8 ranks: equal shares make the mean of the ranks' gradients that of the whole batch.
BATCH = 96
# 450 digits are tested. At 97 % right, the standard deviation is 0.8 points; the two runs differ by rounding only, which
# training amplifies.
NOISE_POINTS = 2.0


def main():
    arguments = parse_arguments()
    hvd.init()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    if BATCH % hvd.size():
        sys.exit(f"digits: a batch of {BATCH} cannot be shared by {hvd.size()} ranks; take 1, 2, 3, 4, 6 or 8")
    data = load()

    model = new_model(seed=1 + hvd.rank())
    # Ranks start differently on purpose: that they end alike is Horovod's doing.
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    # One group: all gradients of a step travel together and in the same order, so a run can be repeated bit by bit.
    optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters(), groups=1)
    clock = Clock()
    train(model, optimizer, data, arguments.epochs, hvd.rank(), hvd.size(), clock)

    accuracy = test(model, data)
    digest = digest_of(model.state_dict())
    digests = hvd.allgather_object(digest)
    if hvd.rank() != 0:
        return
    alone = new_model(seed=1)
    train(alone, torch.optim.SGD(alone.parameters(), lr=0.05, momentum=0.9), data, arguments.epochs, 0, 1, Clock())
    expected = test(alone, data)

    faults = []
    if len(set(digests)) != 1:
        faults.append(f"the ranks' parameters differ: {digests}")
    if abs(accuracy - expected) > NOISE_POINTS:
        faults.append("learning together went another way than learning alone")
    clock.report(digest, f"{accuracy:.1f} % right")
    verdict = "PASS" if not faults else "FAIL: " + "; ".join(faults)
    print(f"digits: {verdict}: {hvd.size()} ranks, {accuracy:.1f} % right, one process alone {expected:.1f} %", flush=True)
    if faults:
        sys.exit(1)


def parse_arguments():
    parser = argparse.ArgumentParser(description="Learn handwritten digits with Horovod")
    parser.add_argument("--epochs", type=int, default=12, help="times that the data are gone through (default 12)")
    return parser.parse_args()


def load():
    """Digits to learn from and to test with, and their labels."""
    digits = load_digits()
    parts = train_test_split(digits.data / 16, digits.target, test_size=450, random_state=1, stratify=digits.target)
    kinds = torch.float32, torch.float32, torch.int64, torch.int64
    return [torch.tensor(part, dtype=kind) for part, kind in zip(parts, kinds)]


def new_model(seed):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10)
    )


def train(model, optimizer, data, epochs, rank, ranks, clock):
    """Goes through the data; each rank takes every `ranks`-th digit of a batch."""
    digits, _, labels, _ = data
    loss_of = torch.nn.CrossEntropyLoss()
    order = torch.Generator().manual_seed(7)
    steps = len(digits) // BATCH
    bar = tqdm(total=epochs * steps, desc="learning" if ranks > 1 else "alone", unit="step", disable=rank != 0)
    clock.start()
    for _ in range(epochs):
        batches = torch.randperm(len(digits), generator=order)[: steps * BATCH].split(BATCH)
        for batch in batches:
            mine = batch[rank::ranks]
            optimizer.zero_grad()
            loss_of(model(digits[mine]), labels[mine]).backward()
            if hasattr(optimizer, "synchronize"):
                # Gradients travel while others are computed; this waits for those that are still under way.
                clock.communicate(optimizer.synchronize)
                with optimizer.skip_synchronize():
                    optimizer.step()
            else:
                optimizer.step()
            clock.step()
            bar.update()
    clock.stop()
    bar.close()


def test(model, data):
    """Per cent of the test digits that are told right."""
    _, digits, _, labels = data
    with torch.no_grad():
        return (model(digits).argmax(1) == labels).float().mean().item() * 100


if __name__ == "__main__":
    main()

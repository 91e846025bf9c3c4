"""Learns to continue text with torch.distributed over MPI: first with DDP, then with FSDP.

    mpirun -n RANKS python3 text.py [--steps N] [--checkpoint FILE]

The text is on every Debian system: /usr/share/common-licenses. Checked: the loss falls; all ranks end with the same
parameters; FSDP, which keeps a share of the parameters in each rank, has DDP's losses, step by step. FSDP's parameters are
written as safetensors, for `tp_infer`.
"""

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))
from collectives import Collectives
from measure import Clock, digest_of

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.distributed.fsdp import FullStateDictConfig, FullyShardedDataParallel, StateDictType
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from model import CONTEXT, HEADS, TOKENS, Block, Transformer

TEXTS = Path("/usr/share/common-licenses")
# Sequences in a step, over all ranks.
BATCH = 8
SEED = 3
# The two add up in different orders; training amplifies that.
LOSS_TOLERANCE = 1e-3


def main():
    arguments = parse_arguments()
    dist.init_process_group("mpi")
    torch.set_num_threads(1)
    rank, ranks = dist.get_rank(), dist.get_world_size()
    if BATCH % ranks:
        sys.exit(f"text: {BATCH} sequences cannot be shared by {ranks} ranks; take 1, 2, 4 or 8")
    text = load()

    ddp_clock = Clock()
    replicated = DistributedDataParallel(Transformer(SEED + rank), bucket_cap_mb=1)
    replicated.register_comm_hook(ddp_clock, average)
    ddp_losses = train(replicated, text, arguments.steps, ddp_clock, "DDP")
    ddp_digest = digest_of(replicated.module.state_dict())
    digests = [None] * ranks
    gather_objects(digests, ddp_digest)

    fsdp_clock = Clock()
    Collectives(fsdp_clock)
    sharded = FullyShardedDataParallel(
        Transformer(SEED), auto_wrap_policy=ModuleWrapPolicy({Block}), device_id=torch.device("cpu"), use_orig_params=True
    )
    fsdp_losses = train(sharded, text, arguments.steps, fsdp_clock, "FSDP")
    whole = FullStateDictConfig(rank0_only=True)
    with FullyShardedDataParallel.state_dict_type(sharded, StateDictType.FULL_STATE_DICT, whole):
        state = sharded.state_dict()
    if rank == 0:
        faults = judge(ddp_losses, fsdp_losses, digests)
        if arguments.checkpoint:
            write(state, arguments.checkpoint)
        first, last = fsdp_losses[0], sum(fsdp_losses[-10:]) / 10
        fsdp_clock.report(digest_of(state), describe(ddp_clock, last))
        verdict = "PASS" if not faults else "FAIL: " + "; ".join(faults)
        print(f"text: {verdict}: {ranks} ranks, loss {first:.2f} to {last:.2f} in {arguments.steps} steps", flush=True)
    dist.barrier()
    dist.destroy_process_group()
    if rank == 0 and faults:
        sys.exit(1)


def parse_arguments():
    parser = argparse.ArgumentParser(description="Learn to continue text with torch.distributed over MPI")
    parser.add_argument("--steps", type=int, default=200, help="steps with each of DDP and FSDP (default 200)")
    parser.add_argument("--checkpoint", type=Path, help="where to write the parameters (safetensors)")
    return parser.parse_args()


def load():
    """All licences, one behind the other; characters that are not ASCII become question marks."""
    files = sorted(path for path in TEXTS.iterdir() if not path.is_symlink())
    text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
    return torch.tensor(list(text.encode("ascii", "replace")), dtype=torch.int64)


def average(clock, bucket):
    """DDP's communication: it waits, so that its time can be told. Without this hook, DDP overlaps it with computing."""
    buffer = bucket.buffer()
    clock.communicate(dist.all_reduce, buffer.div_(dist.get_world_size()))
    done = torch.futures.Future()
    done.set_result(buffer)
    return done


def train(model, text, steps, clock, title):
    """The losses, each the mean over all ranks."""
    rank, ranks = dist.get_rank(), dist.get_world_size()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    order = torch.Generator().manual_seed(11)
    losses = []
    bar = tqdm(total=steps, desc=title, unit="step", disable=rank != 0)
    clock.start()
    for _ in range(steps):
        # All ranks draw all places, and each takes its own.
        places = torch.randint(len(text) - CONTEXT - 1, (BATCH,), generator=order)[rank::ranks]
        characters = torch.stack([text[place : place + CONTEXT + 1] for place in places])
        optimizer.zero_grad()
        logits = model(characters[:, :-1])
        loss = functional.cross_entropy(logits.reshape(-1, TOKENS), characters[:, 1:].reshape(-1))
        loss.backward()
        optimizer.step()
        mean = loss.detach() / ranks
        clock.communicate(dist.all_reduce, mean)
        losses.append(mean.item())
        clock.step()
        bar.update()
        bar.set_postfix(loss=f"{losses[-1]:.2f}", refresh=False)
    clock.stop()
    bar.close()
    return losses


def gather_objects(into, digest):
    """All ranks' digests, through the backend itself."""
    mine = torch.tensor([int(digest[:15], 16)], dtype=torch.int64)
    parts = [torch.empty_like(mine) for _ in into]
    dist.all_gather(parts, mine)
    into[:] = [part.item() for part in parts]


def judge(ddp_losses, fsdp_losses, digests):
    """What is wrong, if anything."""
    faults = []
    if len(set(digests)) != 1:
        faults.append("the ranks' parameters differ after DDP")
    difference = max(abs(ddp - fsdp) for ddp, fsdp in zip(ddp_losses, fsdp_losses))
    if not difference < LOSS_TOLERANCE:
        faults.append(f"the losses of DDP and FSDP differ by up to {difference:.1e}")
    if not sum(fsdp_losses[-10:]) / 10 < 0.8 * fsdp_losses[0]:
        faults.append(f"the loss does not fall: {fsdp_losses[0]:.2f}, at the end {fsdp_losses[-1]:.2f}")
    return faults


def describe(ddp_clock, loss):
    step_ms = (ddp_clock.ended - ddp_clock.began) * 1e3 / ddp_clock.steps
    share = 100 * ddp_clock.communication / (ddp_clock.ended - ddp_clock.began)
    return f"FSDP, loss {loss:.2f}; DDP: step {step_ms:.1f} ms, {share:.0f} % communication"


def write(state, path):
    """Puts the file in place at once: a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    contiguous = {name: values.contiguous() for name, values in state.items()}
    save_file(contiguous, partial, metadata={"heads": str(HEADS)})
    partial.rename(path)


if __name__ == "__main__":
    main()

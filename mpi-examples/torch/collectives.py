"""The two collectives that FSDP needs and torch's MPI backend does not have, by mpi4py.

Import this before torch.distributed is initialised: mpi4py starts MPI for several threads, and torch joins in.
"""

import torch.distributed as dist
from mpi4py import MPI


class Collectives:
    """Puts itself in torch's place for one communicator per process group, and keeps the time."""

    def __init__(self, clock):
        self.clock = clock
        self.communicators = {}
        dist.all_gather_into_tensor = self.all_gather_into_tensor
        dist.reduce_scatter_tensor = self.reduce_scatter_tensor

    def all_gather_into_tensor(self, output, shard, group=None, async_op=False):
        """Every rank's shard, one behind the other."""
        self._call(self._of(group).Allgather, shard, output, async_op)

    def reduce_scatter_tensor(self, output, tensor, op=dist.ReduceOp.SUM, group=None, async_op=False):
        """Of the sum (or mean) over all ranks, this rank's share."""
        communicator = self._of(group)
        self._call(communicator.Reduce_scatter_block, tensor, output, async_op)
        if op == dist.ReduceOp.AVG:
            output /= communicator.size
        elif op != dist.ReduceOp.SUM:
            raise NotImplementedError(f"reduce_scatter_tensor with {op}")

    def _call(self, collective, source, destination, async_op):
        if async_op:
            raise NotImplementedError("FSDP asks for these without async_op")
        self.clock.communicate(collective, source.detach().numpy(), destination.detach().numpy())

    def _of(self, group):
        """The communicator of a process group: its own, apart from torch's."""
        ranks = tuple(dist.get_process_group_ranks(group or dist.group.WORLD))
        if ranks not in self.communicators:
            members = MPI.COMM_WORLD.group.Incl(ranks)
            self.communicators[ranks] = MPI.COMM_WORLD.Create_group(members)
        return self.communicators[ranks]

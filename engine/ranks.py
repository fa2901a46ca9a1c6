"""The ranks of a distributed training: rank and world size, and the collective operations on them.

Without ``torchrun`` there is one rank, and nothing here does anything. Everything but `rank_and_size` and `is_first` is
a collective: all ranks must call it, in the same order. An error of one rank is raised on the others at the next
`all_reduce_max`.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from errors import UserError

Item = TypeVar("Item")
Found = TypeVar("Found")
# A process that ends closes its connections, which the others see at once. This is for those that hang, and must be
# longer than one takes to judge its share of a data set.
TIMEOUT = timedelta(hours=1)
_board: dict[int, dist.Store] = {}  # own process id -> where all note what they have said; not for loader processes
_said: Counter[str] = Counter()


def join() -> None:
    """Meet the other processes that ``torchrun`` started; tensors of a GPU travel by NCCL, others by gloo."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, count = next(iter(dist.rendezvous("env://", timeout=TIMEOUT)))
    dist.init_process_group(
        backend, store=dist.PrefixStore("group", store), rank=rank, world_size=count, timeout=TIMEOUT
    )
    _board[os.getpid()] = dist.PrefixStore("said", store)


def leave() -> None:
    """Part when all have come to their end; ``torchrun`` stops those that are not through when the first one ends."""
    all_reduce_max()
    dist.destroy_process_group()
    _board.clear()


def active() -> bool:
    """Whether there are others."""
    return dist.is_available() and dist.is_initialized()


def rank_and_size() -> tuple[int, int]:
    """Number of this process, from 0, and how many there are."""
    return (dist.get_rank(), dist.get_world_size()) if active() else (0, 1)


def is_first() -> bool:
    """Whether this is the process that writes and speaks for all."""
    return rank_and_size()[0] == 0


def first_to_say(sentence: str) -> bool:
    """Whether no other process has said this as often as this one: what all say is to be heard once."""
    board = _board.get(os.getpid())
    if board is None:
        return True
    _said[sentence] += 1
    with contextlib.suppress(RuntimeError):  # the board is gone with the process that kept it
        return board.add(f"{_said[sentence]} {sentence}", 1) == 1
    return True


class _Shared(UserError):
    """A mistake that all processes know of."""


def all_reduce_max(value: int = 0, fault: str = "") -> int:
    """The largest value of all processes; never waits for a GPU.

    Raises:
        UserError: with the `fault` of a process, in every one of them.
    """
    if not active():
        if fault:
            raise UserError(fault)
        return value
    seen = torch.tensor([value, rank_and_size()[0] + 1 if fault else 0])
    dist.all_reduce(seen, dist.ReduceOp.MAX)
    value, failed = seen.tolist()
    if failed:
        sentence = [fault]
        dist.broadcast_object_list(sentence, src=failed - 1)
        raise _Shared(sentence[0])
    return value


@contextlib.contextmanager
def raising_on_all_ranks() -> Iterator[None]:
    """A mistake of the user's that one process finds inside ends it for all; they wait for each other at the end."""
    fault = ""
    try:
        yield
    except _Shared:
        raise
    except UserError as error:
        fault = str(error)
    all_reduce_max(fault=fault)


@contextlib.contextmanager
def local_rank_0_first() -> Iterator[None]:
    """The first process of each machine goes ahead, so that what it downloads is there for the others."""
    follows = active() and os.environ["LOCAL_RANK"] != "0"
    if follows:
        all_reduce_max()
    yield
    if not follows:
        all_reduce_max()


def in_lockstep(items: Iterable[Item]) -> Iterator[Item]:
    """The items one by one, each when all processes have one."""
    source = iter(items)
    while True:
        with raising_on_all_ranks():
            item = next(source, None)
        if item is None:
            return
        yield item


def require_equal(sentence: str, *values: int) -> None:
    """Check that all processes have the same values.

    Raises:
        UserError: with the sentence, in every process.
    """
    found = all_gather(torch.tensor(values)).view(rank_and_size()[1], -1)
    if (found != found[0]).any():
        raise UserError(sentence)


def all_gather(values: Tensor) -> Tensor:
    """Values of all processes, one process after the other: (N,) on any device -> (M,) on the CPU."""
    values = values.cpu()
    if not active():
        return values
    found = [values] * rank_and_size()[1]
    dist.all_gather_object(found, values)
    return torch.cat(found)


def gather_results(work: Callable[[], Found]) -> list[Found]:
    """What each process found with its `work`, in their order.

    Raises:
        UserError: of any of them, in all.
    """
    with raising_on_all_ranks():
        mine = work()
    if not active():
        return [mine]
    found = [mine] * rank_and_size()[1]
    dist.all_gather_object(found, mine)
    return found


def all_reduce_mean(values: Tensor) -> Tensor:
    """Mean over the processes, element by element, without gradient."""
    if not active():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def denominator(count: Tensor) -> Tensor:
    """What a process divides its sum by, so that the mean over the processes is that over everything they counted.

    Args:
        count: scalar, the share of this process; without gradient. That of all is raised to 1, so that gradients stay
            finite where nothing counts.
    """
    if not active():
        return count.clamp(min=1)
    total = count.clone()
    dist.all_reduce(total)
    return total.clamp(min=1) / dist.get_world_size()


def wrap_in_ddp(network: nn.Module, partly_idle: bool) -> nn.Module:
    """The network with gradients that are means over all processes, and the weights of the first.

    partly_idle: whether some weights have no gradient in some steps
    """
    if not active():
        return network
    # Running statistics are averaged after every step instead: the network is used beside its forward pass, too.
    return nn.parallel.DistributedDataParallel(
        network, broadcast_buffers=False, gradient_as_bucket_view=True, find_unused_parameters=partly_idle
    )


@torch.no_grad()
def average_batchnorm_statistics(network: nn.Module) -> None:
    """Replace the running statistics of batch normalisation by their means over the processes."""
    if not active():
        return
    found = [buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    if found:
        flat = all_reduce_mean(torch.cat(found))
        torch._foreach_copy_(found, list(flat.split([len(buffer) for buffer in found])))

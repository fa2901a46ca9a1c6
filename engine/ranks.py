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

from .faults import sentence

Item = TypeVar("Item")
Found = TypeVar("Found")
# A process that ends closes its connections, which the others see at once. This is for those that hang, and must be
# longer than a rank takes to evaluate its share of a data set.
TIMEOUT = timedelta(hours=1)
_store: dict[int, dist.Store] = {}  # own process id (not that of workers) -> counts of printed sentences
_printed: Counter[str] = Counter()


def join() -> None:
    """Join the process group of ``torchrun``: NCCL for tensors on GPUs, gloo for others."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    store, rank, count = next(iter(dist.rendezvous("env://", timeout=TIMEOUT)))
    dist.init_process_group(
        backend, store=dist.PrefixStore("group", store), rank=rank, world_size=count, timeout=TIMEOUT
    )
    _store[os.getpid()] = dist.PrefixStore("printed", store)


def leave() -> None:
    """Return when all ranks are done; ``torchrun`` stops those that run on when the first one ends.

    The group ends with the process: torch 2.6, when it destroys one, may wait for ever for a thread of gloo that frees
    a tensor and needs the lock of the interpreter for it.
    """
    all_reduce_max()
    _store.clear()


def active() -> bool:
    """Whether this process is one of several ranks."""
    return dist.is_available() and dist.is_initialized()


def rank_and_size() -> tuple[int, int]:
    """Rank of this process and world size."""
    return (dist.get_rank(), dist.get_world_size()) if active() else (0, 1)


def is_first() -> bool:
    """Whether this is rank 0, which writes and prints for all."""
    return rank_and_size()[0] == 0


def first_to_say(sentence: str) -> bool:
    """Whether no other rank has printed this sentence as often as this one: what all would print appears once."""
    store = _store.get(os.getpid())
    if store is None:
        return True
    _printed[sentence] += 1
    with contextlib.suppress(RuntimeError):  # the store ends with the process that holds it
        return store.add(f"{_printed[sentence]} {sentence}", 1) == 1
    return True


class _Shared(UserError):
    """A mistake that has been raised on all ranks."""


def all_reduce_max(value: int = 0, fault: str = "") -> int:
    """All-reduce of an integer with MAX; never waits for a GPU.

    Raises:
        UserError: with the `fault` of one rank, on all of them.
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
    """A `UserError` of one rank inside is raised on all ranks; they wait for each other at the end."""
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
    """Local rank 0 of each machine goes first, so that what it downloads is there for the others."""
    follows = active() and os.environ["LOCAL_RANK"] != "0"
    if follows:
        all_reduce_max()
    yield
    if not follows:
        all_reduce_max()


def in_lockstep(items: Iterable[Item]) -> Iterator[Item]:
    """The items one by one, each when all ranks have one.

    Raises:
        UserError: of any of them, on all, also where a library of it fails for a known reason.
    """
    source = iter(items)
    while True:
        with raising_on_all_ranks():
            try:
                item = next(source, None)
            except Exception as error:
                if told := sentence(error):
                    raise UserError(told) from error
                raise
        if item is None:
            return
        yield item


def require_equal(sentence: str, *values: int) -> None:
    """Check that all ranks have the same values.

    Raises:
        UserError: with the sentence, on every rank.
    """
    found = all_gather(torch.tensor(values)).view(rank_and_size()[1], -1)
    if (found != found[0]).any():
        raise UserError(sentence)


def all_gather(values: Tensor) -> Tensor:
    """Values of all ranks, in their order: (N,) on any device -> (M,) on the CPU."""
    values = values.cpu()
    if not active():
        return values
    found = [values] * rank_and_size()[1]
    dist.all_gather_object(found, values)
    return torch.cat(found)


def gather_results(work: Callable[[], Found]) -> list[Found]:
    """Results of `work` of all ranks, in their order.

    Raises:
        UserError: of any of them, on all.
    """
    with raising_on_all_ranks():
        mine = work()
    if not active():
        return [mine]
    found = [mine] * rank_and_size()[1]
    with torch.inference_mode(False):  # older versions of PyTorch fill tensors of their own in another thread
        dist.all_gather_object(found, mine)
    return found


def all_reduce_mean(values: Tensor) -> Tensor:
    """All-reduce with the mean, element by element, without gradient."""
    if not active():
        return values
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


def denominator(count: Tensor) -> Tensor:
    """What a rank divides its sum by, so that the mean over the ranks is that over everything they counted.

    Args:
        count: scalar of this rank, without gradient. Their sum is raised to 1, so that gradients stay finite where
            nothing counts.
    """
    if not active():
        return count.clamp(min=1)
    total = count.clone()
    dist.all_reduce(total)
    return total.clamp(min=1) / dist.get_world_size()


def wrap_in_ddp(network: nn.Module, partly_idle: bool) -> nn.Module:
    """The network wrapped in DDP: gradients are means over all ranks, weights begin as those of rank 0.

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
    """Replace the running statistics of batch normalisation by their means over the ranks."""
    if not active():
        return
    found = [buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    if found:
        flat = all_reduce_mean(torch.cat(found))
        torch._foreach_copy_(found, list(flat.split([len(buffer) for buffer in found])))

"""One training step in several processes: what the exchange of gradients costs, and what several GPUs gain."""

from __future__ import annotations

import multiprocessing
import os
import socket
from dataclasses import replace
from functools import partial

import torch

from .train_step import Setting, TrainStep, street_folder
from .unit import THREADS, seconds


def images_per_second(setting: Setting, processes: int, threads: int = 1) -> float:
    """Images, of both kinds, that so many processes with the batch of the setting each take in one second."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    share = partial(_step_seconds, setting, processes, threads, port)
    with multiprocessing.get_context("spawn").Pool(processes) as pool:  # they wait for each other: each gets one rank
        slowest = max(pool.map(share, range(processes), chunksize=1))
    return 2 * setting.batch * processes / slowest


def _step_seconds(setting: Setting, count: int, threads: int, port: int, rank: int) -> float:
    from engine import ranks

    torch.set_num_threads(threads)
    if setting.device != "cpu":
        torch.cuda.set_device(rank)
    if count > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(port),
        }
        ranks.join()
    spent = seconds(TrainStep(setting, wrap=partial(ranks.wrap_in_ddp, partly_idle=False)))
    ranks.all_reduce_max()
    return spent


def main(setting: Setting) -> None:
    """Print the table: 1, 2, 4 ... processes, as many as there are GPUs or, without any, cores."""
    with street_folder() as data:
        _print_table(replace(setting, data=data))


def _print_table(setting: Setting) -> None:
    most = torch.cuda.device_count() if setting.device != "cpu" else THREADS
    counts = [2**power for power in range(most.bit_length()) if 2**power <= most]
    alone = images_per_second(setting, 1)
    print(
        f"| {setting.method}, {setting.precision}, {setting.batch} + {setting.batch} images per process "
        "| images/s | times one process |\n| --- | --- | --- |"
    )
    for count in counts:
        found = alone if count == 1 else images_per_second(setting, count)
        name = "1 process" if count == 1 else f"{count} processes"
        print(f"| {name} with one thread each | {found:.2f} | {found / alone:.2f} |", flush=True)
    if setting.device == "cpu":
        found = images_per_second(replace(setting, batch=THREADS * setting.batch), 1, THREADS)
        print(f"| 1 process with {THREADS} threads and the batch of all | {found:.2f} | {found / alone:.2f} |")

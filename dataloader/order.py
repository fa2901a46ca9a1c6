"""In which order training draws its samples, on every rank."""

from __future__ import annotations

from collections.abc import Iterator

from .dataset import ORDER, Key, TrainingSet, stream


class Order:
    """Lists of keys, one per batch: shuffled anew in every pass over the data set, incomplete batches left out.

    rank_of: rank of this process and world size; all ranks draw what a single one would with a batch as large as
        theirs
    """

    def __init__(self, data: TrainingSet, batch_size: int, rank_of: tuple[int, int] = (0, 1)):
        self.data, self.batch_size, self.rank_of = data, batch_size, rank_of
        self.epoch = self.start = self.stop = 0

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[Key]]:
        rank, world_size = self.rank_of
        per_pass = len(self.data) // (self.batch_size * world_size)
        number, order = -1, []
        for step in range(self.start, self.stop):
            if step // per_pass != number:
                number = step // per_pass
                rng = stream(self.data.seed, self.data.spec, ORDER, self.epoch, number)
                order = rng.permutation(len(self.data)).tolist()
            first = (step % per_pass * world_size + rank) * self.batch_size
            yield [Key(self.epoch, number, index) for index in order[first : first + self.batch_size]]

"""Work in other processes: in order, bounded, and ended in one line where a process dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count, islice

import pytest

from astroreel.errors import UserError
from astroreel.parallel import ordered_map, worker_count


class Tenfold:
    """Multiplies, and counts the items that its copy has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, item: int) -> tuple[int, int, int]:
        if item < 0:
            raise UserError(f"{item} is below 0")
        if item == 99:
            os.kill(os.getpid(), 9)
        self.seen += 1
        return 10 * item, self.seen, os.getpid()


def counted(taken: list[int]) -> Iterator[int]:
    for number in count():
        taken.append(number)
        yield number


def test_results_come_in_order_from_processes_that_keep_their_copy() -> None:
    results = list(ordered_map(Tenfold(), range(40), workers=2))
    assert [product for product, _, _ in results] == list(range(0, 400, 10))
    last_seen = {process: seen for _, seen, process in results}
    assert sum(last_seen.values()) == 40
    assert os.getpid() not in last_seen


def test_items_without_end_are_taken_as_results_are() -> None:
    taken: list[int] = []
    results = ordered_map(Tenfold(), counted(taken), workers=1, ahead=5)
    assert [product for product, _, _ in islice(results, 3)] == [0, 10, 20]
    assert len(taken) <= 3 + 5
    results.close()


def test_what_goes_wrong_in_a_process_is_raised_here() -> None:
    with pytest.raises(UserError, match=r"^-3 is below 0$"):
        list(ordered_map(Tenfold(), [1, 2, -3], workers=1))


def test_a_process_that_dies_ends_the_work_in_one_line() -> None:
    with pytest.raises(UserError, match=r"a worker process died.*run it again.*fewer workers") as error:
        list(ordered_map(Tenfold(), [1, 99, 3], workers=1))
    assert "\n" not in str(error.value)


def test_no_number_means_as_many_as_there_are_processors() -> None:
    assert 1 <= worker_count(0) <= (os.cpu_count() or 1)
    assert worker_count(3) == 3


def test_a_cluster_out_of_reach_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**options: object) -> None:
        raise ConnectionError("nobody answers\nat all")

    monkeypatch.setattr("ray.init", unreachable)
    with pytest.raises(UserError, match=r"address 'auto': no Ray cluster .* \(nobody answers\)$"):
        next(ordered_map(Tenfold(), range(3), workers=1, address="auto"))


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same_results_and_the_same_errors() -> None:
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    try:
        results = list(ordered_map(Tenfold(), range(10), workers=2, address="auto"))
        assert [product for product, _, _ in results] == list(range(0, 100, 10))
        with pytest.raises(UserError, match=r"^-3 is below 0$"):
            list(ordered_map(Tenfold(), [1, -3], workers=1, address="auto"))
        with pytest.raises(UserError, match="a worker process died"):
            list(ordered_map(Tenfold(), [1, 99], workers=1, address="auto"))
    finally:
        ray.shutdown()

"""Work spread over processes, of this machine or of a Ray cluster, with its results in order."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from joblib import cpu_count
from threadpoolctl import threadpool_limits

from astroreel.errors import UserError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Gives an item to a process; what comes back waits for its result.
_Submit = Callable[[Any], Callable[[], Any]]


def worker_count(workers: int) -> int:
    """How many processes on this machine are meant: 0 is as many as there are processors to be used."""
    return workers or cpu_count()


def ordered_map(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int = 0,
    address: str | None = None,
    ahead: int = 0,
) -> Generator[_Result]:
    """``map(function, items)`` in other processes, with a bounded number of items under way.

    Closing the iterator ends the processes.

    Parameters
    ----------
    function
        Picklable. Every process gets its own copy once and uses it for all its items, so that it may
        keep what is costly to make.
    items
        May be without end: they are taken as results are.
    workers
        Number of processes, each of one thread; 0: as many as there are processors, here or in the cluster.
    address
        Of a Ray cluster (``auto``: the one of this machine); None: this machine, without Ray.
    ahead
        Least number of items given out whose results nobody has taken yet.

    Raises
    ------
    UserError
        Where a process dies or the cluster is out of reach. What ``function`` raises is raised here.
    """
    pool = _local_pool(function, workers) if address is None else _ray_pool(function, workers, address)
    with pool as (submit, count):
        waiting: deque[Callable[[], _Result]] = deque()
        for item in items:
            waiting.append(submit(item))
            if len(waiting) >= max(ahead, 2 * count):
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()


@contextmanager
def _local_pool(function: Callable[[Any], Any], workers: int) -> Iterator[tuple[_Submit, int]]:
    count = worker_count(workers)
    # A forked process would inherit locks that the threads of loaded libraries hold.
    pool = ProcessPoolExecutor(count, get_context("spawn"), _install_here, (function,))
    try:
        yield lambda item: pool.submit(_call, item).result, count
    except BrokenProcessPool as error:
        raise _died() from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _ray_pool(function: Callable[[Any], Any], workers: int, address: str) -> Iterator[tuple[_Submit, int]]:
    import ray
    from ray.util.multiprocessing import Pool

    with connected(address):
        count = workers or int(ray.cluster_resources()["CPU"])
        pool = Pool(count, _install, (function,))
        try:
            yield lambda item: pool.apply_async(_call, (item,)).get, count
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError as error:
            raise _died() from error
        finally:
            pool.terminate()


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection to the Ray cluster at ``address``, or the one that there is."""
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"address {address!r}: no Ray cluster can be reached there ({reason})") from error
    try:
        yield
    finally:
        ray.shutdown()


def _died() -> UserError:
    return UserError(
        "a worker process died, killed or out of memory: run it again, it goes on from what is finished; "
        "with fewer workers if memory is short"
    )


_function: Callable[[Any], Any]


def _install(function: Callable[[Any], Any]) -> None:
    """Keep the function in this worker, whose processor others share."""
    global _function
    _function = function
    threadpool_limits(1)


def _install_here(function: Callable[[Any], Any]) -> None:
    """The same on this machine: the keyboard's interrupt is the parent's affair, its death is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _install(function)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _call(item: Any) -> Any:
    return _function(item)

"""What the service counts, as Prometheus reads it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Seconds: from what a network alone takes to what nobody waits for.
_BUCKETS = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0, 4.0, 8.0)

#: Labels of a gauge and its value.
Readings = Iterable[tuple[tuple[str, ...], float]]


class Metrics:
    """Counters and gauges of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "astroreel_requests", "Requests answered.", ("path", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "astroreel_request_seconds",
            "From a request's head to its answer's end.",
            ("path",),
            registry=self.registry,
            buckets=_BUCKETS,
        )
        self.frames = Counter(
            "astroreel_frames", "Frames by what became of them.", ("model", "outcome"), registry=self.registry
        )
        self.switches = Counter(
            "astroreel_switches", "Times that another version took over.", ("model",), registry=self.registry
        )

    def gauge(self, name: str, help: str, labels: tuple[str, ...], read: Callable[[], Readings]) -> None:
        """Show what ``read`` gives, asked whenever somebody looks."""
        self.registry.register(_Gauge(name, help, labels, read))

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)


class _Gauge(Collector):
    def __init__(self, name: str, help: str, labels: tuple[str, ...], read: Callable[[], Readings]) -> None:
        self._describe = (name, help, labels)
        self._read = read

    def collect(self) -> Iterator[Metric]:
        name, help, labels = self._describe
        family = GaugeMetricFamily(name, help, labels=labels)
        for values, reading in self._read():
            family.add_metric(values, reading)
        yield family


class Timed:
    """Middleware that counts and times requests by path and status.

    Parameters
    ----------
    app
        What answers.
    metrics
        Where it is counted.
    paths
        Those told apart; the rest are "other", so that strangers cannot make labels.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app = app
        self.metrics = metrics
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"] if scope["path"] in self.paths else "other"
        status, started = "none", time.perf_counter()

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - started)

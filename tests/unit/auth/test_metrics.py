"""What is counted, and that an observer can do no harm."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from airflow_azure_wi.auth import metrics
from airflow_azure_wi.auth.metrics import Measurement
from airflow_azure_wi.auth.token_cache import TokenCache
from airflow_azure_wi.entra_errors import Failure, Kind
from tests.unit.auth.test_token_cache import STORAGE, FakeExchange


@pytest.fixture
def seen() -> Iterator[list[Measurement]]:
    measurements: list[Measurement] = []
    metrics.observe(measurements.append)
    yield measurements
    metrics.observe(None)


def test_a_success_and_a_failure_are_told_apart_with_tags_and_without(seen: list[Measurement]) -> None:
    metrics.note_exchange(None, 0.25)
    metrics.note_exchange("AADSTS700213", 0.5)
    metrics.report()
    exchange = "azure_workload_identity.token_exchange"
    assert seen == [
        (exchange, {"outcome": "success", "code": "none"}, None),
        (f"{exchange}.success", {}, None),
        (f"{exchange}.duration", {"outcome": "success"}, 250.0),
        (exchange, {"outcome": "failure", "code": "AADSTS700213"}, None),
        (f"{exchange}.failure.AADSTS700213", {}, None),
        (f"{exchange}.duration", {"outcome": "failure"}, 500.0),
    ]


def test_without_an_observer_nothing_is_kept(seen: list[Measurement]) -> None:
    metrics.observe(None)
    metrics.note_exchange(None, 1)
    metrics.observe(seen.append)
    metrics.report()
    assert seen == []


def test_whatever_an_observer_raises_the_next_measurement_is_reported() -> None:
    @dataclass
    class Broken:
        names: list[str] = field(default_factory=list)

        def __call__(self, measurement: Measurement) -> None:
            self.names.append(measurement.name)
            raise ConnectionError("the backend is down")

    broken = Broken()
    metrics.observe(broken)
    try:
        metrics.note("first")
        metrics.note("second")
        metrics.report()
    finally:
        metrics.observe(None)
    assert broken.names == ["first", "second"]


def test_a_forked_process_does_not_report_what_its_parent_noted(seen: list[Measurement]) -> None:
    metrics.note("of the parent")
    read, write = os.pipe()
    if os.fork() == 0:
        metrics.report()
        os.write(write, str(len(seen)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        assert answer.read() == "0"
    os.wait()
    metrics.report()
    assert [measurement.name for measurement in seen] == ["of the parent"]


@pytest.mark.parametrize(
    ("failure", "label"),
    [
        (Failure(Kind.REFUSED, "", code="AADSTS700213", status=400), "AADSTS700213"),
        (Failure(Kind.REFUSED, "", code="AADSTS123456789", status=400), "AADSTS_other"),
        (Failure(Kind.REFUSED, "", status=503), "http_503"),
        (Failure(Kind.UNREACHABLE, ""), "unreachable"),
        (Failure(Kind.INVALID, ""), "invalid"),
    ],
)
def test_a_failure_has_one_of_few_labels(failure: Failure, label: str) -> None:
    assert failure.label == label


def test_a_renewal_is_counted_and_the_first_token_is_none(seen: list[Measurement]) -> None:
    tokens = TokenCache(FakeExchange(lifetime=200))
    tokens.get(STORAGE)
    tokens.get(STORAGE)
    deadline = time.monotonic() + 30
    while not seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [measurement.name for measurement in seen] == ["azure_workload_identity.token_renewal"]


def test_an_observer_that_hangs_holds_up_nobody() -> None:
    metrics.observe(lambda measurement: time.sleep(60))
    try:
        begun = time.monotonic()
        metrics.note("something")
        assert TokenCache(FakeExchange()).get(STORAGE).number == 1
        assert time.monotonic() - begun < 30
    finally:
        metrics.observe(None)

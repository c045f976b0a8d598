"""The stand-in for the kubelet."""

import os
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from airflow_azure_wi.testing import ProjectedToken


@pytest.fixture
def signed() -> Iterator[int]:
    return count()


@pytest.fixture
def token(tmp_path: Path, signed: Iterator[int]) -> ProjectedToken:
    # Long enough that writing it in place could be seen half done.
    return ProjectedToken(tmp_path / "tokens", lambda: f"<{next(signed)}{'x' * 100_000}>")


def number_of(content: str) -> int:
    assert content.startswith("<")
    assert content.endswith("x>")
    assert len(content) >= 100_003
    return int(content.strip("<x>"))


def test_token_is_there_from_the_start(token: ProjectedToken, tmp_path: Path) -> None:
    assert token.path == tmp_path / "tokens" / "azure-identity-token"
    assert number_of(token.path.read_text()) == 0


def test_layout_is_that_of_the_kubelet(token: ProjectedToken) -> None:
    directory = token.path.parent
    assert os.readlink(token.path) == "..data/azure-identity-token"
    version = os.readlink(directory / "..data")
    assert version.startswith("..20")
    assert sorted(os.listdir(directory)) == sorted([version, "..data", "azure-identity-token"])


def test_rotation_swaps_the_link_and_not_the_file(token: ProjectedToken) -> None:
    before, link_before = token.path.resolve(), token.path.lstat()

    token.rotate()

    assert number_of(token.path.read_text()) == 1
    assert token.path.resolve() != before
    assert (token.path.lstat().st_ino, token.path.lstat().st_mtime) == (link_before.st_ino, link_before.st_mtime)


def test_only_the_owner_may_read(token: ProjectedToken) -> None:
    token.rotate()

    directory = token.path.parent
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "..data").stat().st_mode & 0o777 == 0o700
    assert token.path.stat().st_mode & 0o777 == 0o600


def test_old_versions_do_not_pile_up(token: ProjectedToken) -> None:
    for _ in range(10):
        token.rotate()

    versions = list(token.path.parent.glob("..2*"))
    assert len(versions) == 2, "the current one, and the last for readers that are about to open it"


def test_reader_never_meets_a_missing_or_partial_file(token: ProjectedToken) -> None:
    stop = threading.Event()
    numbers: list[int] = []
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                numbers.append(number_of(token.path.read_text()))
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(30):
        token.rotate()
        # A busy machine may stop a reader that has followed the link for longer than a rotation takes.
        time.sleep(0.05)
    stop.set()
    for reader in readers:
        reader.join()

    assert failures == []
    assert len(set(numbers)) > 20


def test_directory_of_an_earlier_run_is_taken_over(token: ProjectedToken) -> None:
    directory = token.path.parent
    again = ProjectedToken(directory, lambda: "new")
    again.rotate()

    assert again.path.read_text() == "new"
    assert len(list(directory.glob("..2*"))) == 2


def test_failed_rotation_leaves_the_token(tmp_path: Path) -> None:
    tokens = ["first"]
    token = ProjectedToken(tmp_path / "tokens", lambda: tokens.pop())

    with pytest.raises(IndexError):
        token.rotate()

    assert token.path.read_text() == "first"


def test_rotate_every(token: ProjectedToken) -> None:
    with token.rotate_every(0.02):
        end = time.monotonic() + 10
        while number_of(token.path.read_text()) < 5:
            assert time.monotonic() < end
            time.sleep(0.01)

    last = number_of(token.path.read_text())
    time.sleep(0.1)
    assert number_of(token.path.read_text()) == last, "it still rotates"


def test_rotate_every_stops_when_the_body_raises(token: ProjectedToken) -> None:
    threads = set(threading.enumerate())

    with pytest.raises(ZeroDivisionError), token.rotate_every(0.01):
        raise ZeroDivisionError

    assert set(threading.enumerate()) <= threads


def test_rotate_every_tells_of_a_failed_rotation(tmp_path: Path) -> None:
    tokens = ["first"]
    token = ProjectedToken(tmp_path / "tokens", lambda: tokens.pop())

    with pytest.raises(IndexError), token.rotate_every(0.01):
        time.sleep(0.2)

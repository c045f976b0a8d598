"""What processes leave each other on the disk, with an exchange that is a plain function: no Azure is needed."""

import json
import logging
import os
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from azure.core.credentials import AccessTokenInfo

from airflow_azure_wi.auth.disk_cache import DiskCache
from airflow_azure_wi.auth.token_cache import TokenRequest
from tests.processes import Running, event, in_process, write_no_more

STORAGE = TokenRequest(("https://storage.azure.com/.default",))
VAULT = TokenRequest(("https://vault.azure.net/.default",))
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def disk(folder: Path) -> DiskCache:
    return DiskCache(folder, "identity")


def token(value: str = "token", lifetime: int = 3600) -> AccessTokenInfo:
    now = int(time.time())
    return AccessTokenInfo(value, now + lifetime, token_type="Bearer", refresh_on=now + lifetime // 2)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def file_of(folder: Path, kind: str) -> Path:
    [file] = folder.glob(f"*.{kind}")
    return file


class TestTokens:
    def test_a_token_is_found_as_it_was(self, disk: DiskCache, folder: Path) -> None:
        kept = token()
        disk.put(STORAGE, kept)
        found = DiskCache(folder, "identity").get(STORAGE)
        assert isinstance(found, AccessTokenInfo)
        assert vars(found) == vars(kept)

    def test_what_differs_is_not_found(self, disk: DiskCache, folder: Path) -> None:
        disk.put(STORAGE, token())
        assert DiskCache(folder, "another identity").get(STORAGE) is None
        assert disk.get(VAULT) is None
        assert disk.get(TokenRequest(STORAGE.scopes, enable_cae=True)) is None
        assert disk.get(TokenRequest(STORAGE.scopes, enable_cae=True)) is None

    def test_a_claims_challenge_replaces_the_token_and_is_never_answered_from_the_disk(self, disk: DiskCache) -> None:
        challenge = TokenRequest(STORAGE.scopes, claims="{}")
        disk.put(STORAGE, token("old"))
        disk.put(challenge, token("new"))
        found = disk.get(STORAGE)
        assert found is not None
        assert found.token == "new"
        assert disk.get(challenge) is None

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"null",
            b"[]",
            b'{"AccessToken": [1]}',
            b"\xff\x00\x80",
            b"[" * 60_000,
            b"x" * 1_000_000,
            b'{"token": "x"',
            '{"token": "ümlaut"}'.encode("utf-16"),
        ],
    )
    def test_a_file_that_holds_something_else_is_replaced(
        self, disk: DiskCache, folder: Path, caplog: pytest.LogCaptureFixture, content: bytes
    ) -> None:
        disk.put(STORAGE, token())
        file_of(folder, "token").write_bytes(content)
        assert disk.get(STORAGE) is None
        disk.put(STORAGE, token())
        assert disk.get(STORAGE) is not None
        assert warnings(caplog) == []

    @pytest.mark.parametrize(
        "change",
        [
            {"token": ""},
            {"token": None},
            {"token": ["x"]},
            {"expires_on": 1},
            {"expires_on": None},
            {"expires_on": "9999999999"},
            {"expires_on": True},
            {"expires_on": 1e300},
            {"refresh_on": "soon"},
            {"token_type": 7},
            {"key": "that of another"},
        ],
    )
    def test_a_token_that_is_expired_or_has_a_wrong_field_is_not_handed_out(
        self, disk: DiskCache, folder: Path, change: dict[str, object]
    ) -> None:
        disk.put(STORAGE, token())
        file = file_of(folder, "token")
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        assert disk.get(STORAGE) is None

    def test_the_file_of_another_identity_is_not_taken_for_this_one(self, disk: DiskCache, folder: Path) -> None:
        """Whoever could rename files cannot make one identity's token another's."""
        disk.put(STORAGE, token())
        own = file_of(folder, "token")
        DiskCache(folder, "another").put(STORAGE, token("of another"))
        [other] = [file for file in folder.glob("*.token") if file != own]
        other.replace(own)
        assert disk.get(STORAGE) is None

    def test_files_that_have_been_of_no_use_are_removed(self, disk: DiskCache, folder: Path) -> None:
        disk.put(STORAGE, token(lifetime=-1))
        long_ago = time.time() - 100_000
        leftovers = [
            folder / f"{number:032x}.{kind}" for number, kind in enumerate(("lock", "token.0123456789abcdef.new"))
        ]
        for path in (*leftovers, folder / "of-somebody-else.token"):
            path.touch(mode=0o600)
            os.utime(path, (long_ago, long_ago))
        (folder / f"{9:032x}.lock").touch(mode=0o600)
        disk.put(VAULT, token())
        assert sorted(path.name for path in folder.iterdir() if path.name != file_of_valid(folder).name) == [
            f"{9:032x}.lock",
            "of-somebody-else.token",
        ]


def file_of_valid(folder: Path) -> Path:
    [file] = [file for file in folder.glob("*.token") if file.stat().st_mtime > time.time()]
    return file


class TestTurns:
    def test_fifty_processes_at_once_make_one_exchange(self, folder: Path) -> None:
        exchanges = folder.parent / "exchanges"

        def task() -> str:
            disk = DiskCache(folder, "identity")
            with disk.exclusively(STORAGE, seconds=30):
                if (found := disk.get(STORAGE)) is not None:
                    return found.token
                with exchanges.open("a") as file:
                    file.write("x")
                time.sleep(0.3)
                disk.put(STORAGE, token())
                return "exchanged"

        results = Running(50, task).results()
        assert sorted(results) == ["exchanged", *["token"] * 49]
        assert exchanges.read_text() == "x"

    def test_different_requests_do_not_wait_for_each_other(self, disk: DiskCache) -> None:
        with disk.exclusively(STORAGE, seconds=30):
            begun = time.monotonic()
            in_process(lambda: enter(disk, VAULT, seconds=30))
            assert time.monotonic() - begun < 10

    def test_whoever_waits_gets_the_failure_and_a_later_one_tries_again(self, disk: DiskCache, tmp_path: Path) -> None:
        """Twelve tasks in an outage end in the time of one exchange."""
        arrived = tmp_path / "arrived"

        def task() -> str:
            with arrived.open("a") as file:
                file.write("x")
            with disk.exclusively(STORAGE, seconds=30) as turn:
                if turn.failure is not None:
                    return turn.failure
                # A busy machine starts some a second after the first.
                while len(arrived.read_text()) < 12:
                    time.sleep(0.1)
                time.sleep(1)
                turn.failed("Entra cannot be reached\n\tfor now: ümlaut")
                return "exchanged"

        begun = time.monotonic()
        results = Running(12, task).results()
        assert time.monotonic() - begun < 8
        assert sorted(results) == ["Entra cannot be reached\n\tfor now: ümlaut"] * 11 + ["exchanged"]
        with disk.exclusively(STORAGE, seconds=30) as turn:
            assert turn.failure is None

    def test_a_success_after_a_failure_is_no_failure(self, disk: DiskCache) -> None:
        with disk.exclusively(STORAGE, seconds=1) as turn:
            turn.failed("an outage")
        with disk.exclusively(STORAGE, seconds=30):
            waiting = Running(1, lambda: enter(disk, STORAGE, seconds=30))
            time.sleep(0.3)
            disk.put(STORAGE, token())
        assert waiting.results() == [None]

    def test_no_token_is_written_with_a_failure(self, disk: DiskCache, folder: Path) -> None:
        with disk.exclusively(STORAGE, seconds=1) as turn:
            turn.failed(f"The answer was {JWT}")
        written = file_of(folder, "lock").read_text()
        assert "The answer was" in written
        assert JWT[:25] not in written

    def test_a_holder_that_is_killed_is_not_waited_for(self, disk: DiskCache) -> None:
        ready = event()

        def hold() -> None:
            with disk.exclusively(STORAGE, seconds=1):
                ready.set()
                time.sleep(60)

        holder = Running(1, hold).processes[0]
        assert ready.wait(20)
        assert holder.pid
        os.kill(holder.pid, signal.SIGKILL)
        begun = time.monotonic()
        enter(disk, STORAGE, seconds=30)
        assert time.monotonic() - begun < 15

    def test_a_holder_that_hangs_is_waited_for_no_longer_than_asked(
        self, disk: DiskCache, caplog: pytest.LogCaptureFixture
    ) -> None:
        released = threading.Event()
        entered = threading.Event()

        def hold() -> None:
            with disk.exclusively(STORAGE, seconds=1):
                entered.set()
                released.wait(20)

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert entered.wait(5)
            begun = time.monotonic()
            enter(disk, STORAGE, seconds=0.3)
            assert 0.2 < time.monotonic() - begun < 5
        finally:
            released.set()
            holder.join()
        assert "not waiting for it" in caplog.text

    def test_a_signal_handler_does_not_wait_for_its_own_thread(self, disk: DiskCache) -> None:
        """Airflow calls on_kill in the thread that may be exchanging just then."""
        waited: list[float] = []

        def on_kill(*_: object) -> None:
            for _ in range(2):
                begun = time.monotonic()
                enter(disk, STORAGE, seconds=30)
                waited.append(time.monotonic() - begun)

        previous = signal.signal(signal.SIGUSR1, on_kill)
        try:
            with disk.exclusively(STORAGE, seconds=30):
                signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, previous)
        assert max(waited) < 10

    def test_what_a_signal_handler_raises_while_waiting_is_raised(self, disk: DiskCache) -> None:
        """TimeoutError is an OSError too, but not the disk's."""

        def stop(*_: object) -> None:
            raise TimeoutError("the task has taken too long")

        def wait() -> None:
            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            enter(disk, STORAGE, seconds=30)

        with disk.exclusively(STORAGE, seconds=30):
            assert in_process(wait) == "TimeoutError('the task has taken too long')"

    def test_a_child_that_outlives_the_turn_does_not_keep_it(self, disk: DiskCache) -> None:
        with disk.exclusively(STORAGE, seconds=1):
            child = Running(1, lambda: time.sleep(8))
        begun = time.monotonic()
        enter(disk, STORAGE, seconds=30)
        assert time.monotonic() - begun < 5
        child.results()

    def test_an_exception_ends_the_turn(self, disk: DiskCache) -> None:
        with pytest.raises(KeyboardInterrupt), disk.exclusively(STORAGE, seconds=1):
            raise KeyboardInterrupt
        begun = time.monotonic()
        in_process(lambda: enter(disk, STORAGE, seconds=30))
        assert time.monotonic() - begun < 5


def enter(disk: DiskCache, request: TokenRequest, *, seconds: float) -> str | None:
    with disk.exclusively(request, seconds=seconds) as turn:
        return turn.failure


PLANTED: dict[str, Callable[[Path], None]] = {
    "FIFO": lambda file: os.mkfifo(file, 0o600),
    "folder": lambda file: file.mkdir(),
    "device": lambda file: os.mknod(file, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
    "dangling link": lambda file: file.symlink_to("missing"),
    "link": lambda file: file.symlink_to("/etc/passwd"),
    "readable by others": lambda file: file.touch(mode=0o644),
}


@pytest.mark.parametrize("kind", ["token", "lock"])
@pytest.mark.parametrize("planted", PLANTED)
def test_something_else_in_place_of_a_file_fails_and_hangs_nobody(
    disk: DiskCache, folder: Path, caplog: pytest.LogCaptureFixture, planted: str, kind: str
) -> None:
    enter(disk, STORAGE, seconds=1)
    disk.put(STORAGE, token())
    file = file_of(folder, kind)
    file.unlink()
    PLANTED[planted](file)
    begun = time.monotonic()
    for _ in range(2):
        with disk.exclusively(STORAGE, seconds=30) as turn:
            disk.get(STORAGE)
            disk.put(STORAGE, token())
            turn.failed("x")
    assert time.monotonic() - begun < 5
    [warning] = warnings(caplog)
    assert str(folder) in warning
    assert "kept in memory" in warning


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB: a tmpfs where mounting one is permitted, else a folder (the tests limit the size of files)."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", folder]
    if shutil.which("mount"):
        subprocess.run(command, capture_output=True, check=False)
    yield folder
    if folder.is_mount():
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no room: for real on the small disk, otherwise by a limit of this process."""
    if not folder.is_mount():
        write_no_more()
        return
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


class TestFullDisk:
    def test_nothing_is_left_behind_and_nobody_waits(self, small: Path) -> None:
        def task() -> list[object]:
            fill(small)
            disk = DiskCache(small / "tokens", "identity")
            begun = time.monotonic()
            with disk.exclusively(STORAGE, seconds=30) as turn:
                time.sleep(0.5)
                disk.put(STORAGE, token())
                assert turn.failure is None
            return [disk.get(STORAGE), time.monotonic() - begun]

        results = Running(30, task).results()
        assert {found for found, _ in results} == {None}
        assert max(seconds for _, seconds in results) < 10, "one after the other, it would be 15"
        assert list((small / "tokens").iterdir()) == []

    def test_a_disk_that_fills_up_during_an_exchange(self, small: Path) -> None:
        disk = DiskCache(small / "tokens", "identity")
        entered = event()

        def first() -> str:
            with disk.exclusively(STORAGE, seconds=30):
                entered.set()
                time.sleep(1)
                fill(small)
                disk.put(STORAGE, token())
            return "done"

        def later() -> float:
            if not small.is_mount():
                write_no_more()
            begun = time.monotonic()
            with disk.exclusively(STORAGE, seconds=30):
                time.sleep(1)
                disk.put(STORAGE, token())
            return time.monotonic() - begun

        leader = Running(1, first)
        assert entered.wait(20)
        waiting = Running(10, later)
        assert leader.results() == ["done"]
        assert max(waiting.results()) < 7, "one after the other, it would be 11"
        assert list((small / "tokens").iterdir()) == []

    def test_one_warning_says_so_and_the_disk_is_left_for_good(self, small: Path) -> None:
        def task() -> list[str]:
            records: list[str] = []
            handler = logging.Handler()
            handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
            logging.getLogger("airflow_azure_wi").addHandler(handler)
            fill(small)
            for name in ("one", "another"):
                disk = DiskCache(small / "tokens", name)
                for request in (STORAGE, VAULT):
                    with disk.exclusively(request, seconds=1) as turn:
                        disk.put(request, token())
                        turn.failed("an outage")
            return records

        [warning] = in_process(task)
        assert f"The folder '{small / 'tokens'}'" in warning
        assert "No space left on device" in warning or "File too large" in warning

    def test_a_forked_process_tries_again(self, small: Path) -> None:
        def task() -> object:
            fill(small)
            disk = DiskCache(small / "tokens", "identity")
            disk.put(STORAGE, token())
            if not small.is_mount():
                return True
            (small / "filler").unlink()
            disk.put(STORAGE, token())
            assert disk.get(STORAGE) is None, "this process has left the disk"
            return in_process(lambda: (disk.put(STORAGE, token()), disk.get(STORAGE) is not None)[1])

        assert in_process(task) is True

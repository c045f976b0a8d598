"""What another user of the machine may have prepared, tried as another user."""

import itertools
import os
import shutil
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_azure_wi.auth import private_folder
from tests.processes import NOBODY, Running, as_nobody, event, in_process


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everyone may enter, unlike those of pytest, and may write to as to /tmp."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def write(folder: Path, content: bytes = b"token") -> None:
    with private_folder.opened(folder) as opened:
        private_folder.write(opened, "file", content)


def read(folder: Path) -> bytes | None:
    with private_folder.opened(folder) as opened:
        return private_folder.read(opened, "file")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything_readable(top: Path) -> list[bytes]:
    found = []
    for folder, _, files in os.walk(top):
        for name in files:
            try:
                found.append((Path(folder) / name).read_bytes())
            except OSError:
                continue
    return found


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277, 0o777])
def test_whatever_the_umask_nobody_else_reads_what_is_written(public: Path, umask: int) -> None:
    folder = public / "above" / "folder"

    def write_with_umask() -> None:
        os.umask(umask)
        write(folder)
        write(folder, b"again")

    assert in_process(write_with_umask) is None
    assert read(folder) == b"again"
    assert [mode(path) for path in (folder.parent, folder, folder / "file")] == [0o700, 0o700, 0o600]
    assert as_nobody(lambda: everything_readable(public)) == []


def test_a_folder_that_others_may_read_is_closed(public: Path) -> None:
    folder = public / "folder"
    folder.mkdir()
    folder.chmod(0o2755)
    (folder / "from-before").touch()
    write(folder)
    assert mode(folder) & 0o777 == 0o700


def test_a_folder_that_others_may_write_to_is_closed_if_it_is_empty(public: Path) -> None:
    folder = public / "folder"
    folder.mkdir()
    folder.chmod(0o777)
    write(folder)
    assert mode(folder) == 0o700


@pytest.mark.parametrize("open_mode", [0o777, 0o770, 0o1777])
def test_a_folder_into_which_others_have_written_is_refused(public: Path, open_mode: int) -> None:
    folder = public / "folder"
    folder.mkdir()
    folder.chmod(0o777)
    as_nobody((folder / "file").touch)
    folder.chmod(open_mode)
    with pytest.raises(PermissionError, match=rf"others may write to it \(mode {open_mode:04o}\) and it is not empty"):
        write(folder)
    assert mode(folder) == open_mode, "closed, it would be trusted the next time"


def test_a_folder_of_another_user_is_refused(public: Path) -> None:
    folder = public / "folder"
    as_nobody(folder.mkdir)
    with pytest.raises(PermissionError, match=f"belongs to the user {NOBODY}, expected {os.geteuid()}"):
        write(folder)
    assert list(folder.iterdir()) == []


def test_a_link_in_place_of_the_folder_is_not_followed(public: Path) -> None:
    mine = public / "mine"
    mine.mkdir(mode=0o700)
    as_nobody(lambda: (public / "folder").symlink_to(mine))
    with pytest.raises(PermissionError, match="'folder' is not a folder, or a link to one"):
        write(public / "folder")
    assert list(mine.iterdir()) == []


def test_the_link_of_another_user_above_it_is_not_followed(public: Path) -> None:
    mine = public / "mine"
    mine.mkdir(mode=0o700)
    as_nobody(lambda: (public / "above").symlink_to(mine))
    with pytest.raises(PermissionError, match=f"the link 'above' above it belongs to the user {NOBODY}"):
        write(public / "above" / "folder")
    assert list(mine.iterdir()) == []


@pytest.mark.parametrize("target", ["real/deep", "./real/../real/deep", "/absolute"])
def test_own_links_above_it_are_followed(public: Path, target: str) -> None:
    (public / "real" / "deep").mkdir(parents=True)
    destination = str(public / "real" / "deep") if target == "/absolute" else target
    (public / "above").symlink_to(destination)
    write(public / "above" / "folder")
    assert (public / "real" / "deep" / "folder" / "file").read_bytes() == b"token"


def test_links_in_a_circle_end(public: Path) -> None:
    (public / "above").symlink_to("above")
    with pytest.raises(OSError, match="Too many levels"):
        write(public / "above" / "folder")


@pytest.mark.parametrize("open_mode", [0o777, 0o775])
def test_a_folder_that_others_may_rename_is_refused(public: Path, open_mode: int) -> None:
    above = public / "above"
    (above / "between" / "folder").mkdir(parents=True)
    above.chmod(open_mode)
    with pytest.raises(PermissionError, match=f"above it, '{above}', has mode {open_mode:04o}, so others can replace"):
        write(above / "between" / "folder")
    above.chmod(0o1777)
    write(above / "between" / "folder")


def test_a_folder_below_that_of_another_user_is_refused(public: Path) -> None:
    as_nobody((public / "above").mkdir)
    with pytest.raises(PermissionError, match=f"above it, .* belongs to the user {NOBODY}, who can replace it"):
        write(public / "above" / "folder")


def test_folders_above_need_not_be_readable(public: Path) -> None:
    above = public / "above"
    above.mkdir()
    above.chmod(0o711)
    (above / "own").mkdir()
    os.chown(above / "own", NOBODY, NOBODY)

    def try_it() -> bytes | None:
        write(above / "own" / "folder")
        return read(above / "own" / "folder")

    assert as_nobody(try_it) == b"token"


def of_another_user(file: Path, _: Path) -> None:
    file.write_bytes(b"planted")
    file.chmod(0o600)
    os.chown(file, NOBODY, NOBODY)


def readable_by_others(file: Path, _: Path) -> None:
    file.write_bytes(b"planted")
    file.chmod(0o644)


PLANTED: dict[str, Callable[[Path, Path], None]] = {
    "link": lambda file, elsewhere: file.symlink_to(elsewhere),
    "dangling link": lambda file, elsewhere: file.symlink_to(elsewhere.with_name("missing")),
    "hard link": lambda file, elsewhere: file.hardlink_to(elsewhere),
    "FIFO": lambda file, _: os.mkfifo(file, 0o600),
    "folder": lambda file, _: file.mkdir(),
    "device": lambda file, _: os.mknod(file, 0o600 | stat.S_IFCHR, os.makedev(1, 5)),
    "of another user": of_another_user,
    "readable by others": readable_by_others,
}


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT])
@pytest.mark.parametrize("kind", PLANTED)
def test_anything_but_an_own_regular_file_is_refused(tmp_path: Path, kind: str, flags: int) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    elsewhere.chmod(0o600)
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    PLANTED[kind](folder / "file", elsewhere)
    with private_folder.opened(folder) as opened, pytest.raises(OSError, match=r"remove it|\[Errno"):
        private_folder.open_file(opened, "file", flags).close()
    assert elsewhere.read_bytes() == b"mine"
    assert not elsewhere.with_name("missing").exists()


@pytest.mark.parametrize("kind", [kind for kind in PLANTED if kind != "folder"])
def test_writing_replaces_what_was_planted_and_changes_nothing_elsewhere(tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"mine")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    PLANTED[kind](folder / "file", elsewhere)
    write(folder)
    assert read(folder) == b"token"
    assert elsewhere.read_bytes() == b"mine"


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "file").mkdir(parents=True)
    folder.chmod(0o700)
    with pytest.raises(IsADirectoryError):
        write(folder)
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "folder", bytes(64 * 1024 + 1))
    assert read(tmp_path / "folder") is None


def test_names_that_are_swapped_meanwhile_lead_nowhere(public: Path) -> None:
    """Another user swaps links and folders below a folder with the sticky bit, while this one writes."""
    mine = public / "mine"
    mine.mkdir(mode=0o700)
    names = [public / "folder", public / "above"]
    steps: list[Callable[[Path], None]] = [lambda path: path.symlink_to(mine), Path.unlink, Path.mkdir, Path.rmdir]

    stop = event()

    def swap() -> None:
        while not stop.is_set():
            for name, step in itertools.product(names, steps):
                with suppress(OSError):
                    step(name)

    swapping = Running(1, lambda: as_nobody(swap))
    outcomes = Counter[str]()
    end = time.monotonic() + 60
    while min(outcomes["written"], outcomes["PermissionError"]) < 10 and time.monotonic() < end:
        for folder in (public / "folder", public / "above" / "folder"):
            try:
                write(folder)
                outcomes["written"] += 1
            except OSError as error:
                outcomes[type(error).__name__] += 1
            shutil.rmtree(public / folder.relative_to(public).parts[0], ignore_errors=True)
    stop.set()
    assert swapping.results() == [None]
    assert min(outcomes["written"], outcomes["PermissionError"]) >= 10, "neither side always came first"
    assert list(mine.iterdir()) == []

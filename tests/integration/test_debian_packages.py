"""What the tests need from Debian: installed where that is possible, and named where it is not (dev/_debian.py)."""

import os
from pathlib import Path

import pytest

from dev._debian import DebianPackage, install

ABSENT = DebianPackage("libabsent-1-0", lambda: False)
PRESENT = DebianPackage("present", lambda: True)


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the apt-get of this test, the only one on PATH, was called with, by somebody who is root."""
    program = tmp_path / "apt-get"
    program.write_text(f'#!/bin/sh\necho "$DEBIAN_FRONTEND $@" >> {tmp_path}/called\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "called").touch()
    return tmp_path / "called"


def test_nothing_is_done_where_all_is_there(called: Path) -> None:
    install(PRESENT, PRESENT)
    assert called.read_text() == ""


def test_what_is_missing_is_installed(called: Path) -> None:
    missing = DebianPackage("libmissing-1-0", lambda: "libmissing" in called.read_text())
    install(PRESENT, missing)
    assert called.read_text().splitlines() == [
        "noninteractive -qq update",
        "noninteractive -qq install -y --no-install-recommends libmissing-1-0",
    ]


@pytest.mark.parametrize("what_is_missing", ["apt-get", "root"])
def test_one_line_names_the_packages(called: Path, monkeypatch: pytest.MonkeyPatch, what_is_missing: str) -> None:
    if what_is_missing == "apt-get":
        monkeypatch.setenv("PATH", str(called.parent / "empty"))
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as failure:
        install(PRESENT, ABSENT)
    assert str(failure.value) == (
        "Missing on this machine: libabsent-1-0. On Debian, run: sudo apt-get install libabsent-1-0"
    )
    assert called.read_text() == ""


def test_apt_get_fails(called: Path) -> None:
    (called.parent / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    with pytest.raises(SystemExit, match=r"^apt-get could not install libabsent-1-0"):
        install(ABSENT)


def test_a_package_without_what_is_expected_of_it(called: Path) -> None:
    """Such as Ubuntu's chromium, which only leads to another way of installing it."""
    with pytest.raises(SystemExit, match=r"^apt-get installed libabsent-1-0, without what is expected of it\.$"):
        install(ABSENT)

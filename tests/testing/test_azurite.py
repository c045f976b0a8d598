"""Installing, starting and stopping Azurite."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from airflow_azure_wi.testing import Azurite, AzuriteError, Certificates, azurite, node


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


def accepts_connections(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1).close()
    except OSError:
        return False
    return True


def stops_listening(url: str, within: float) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not accepts_connections(url):
            return True
        time.sleep(0.05)
    return False


class TestRunning:
    def test_three_services_on_loopback(self, certificates: Certificates) -> None:
        with Azurite(certificates) as running:
            urls = [running.blob_url, running.queue_url, running.table_url]
            assert len(set(urls)) == 3
            for url in urls:
                assert url.startswith("https://127.0.0.1:")
                assert url.endswith("/devstoreaccount1")
                assert accepts_connections(url)
        assert not any(accepts_connections(url) for url in urls)

    def test_two_at_once(self, certificates: Certificates) -> None:
        with Azurite(certificates) as one, Azurite(certificates) as other:
            assert one.blob_url != other.blob_url

    def test_in_memory_it_writes_nothing(
        self, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "cwd").mkdir()
        monkeypatch.chdir(tmp_path / "cwd")
        with Azurite(certificates):
            pass
        assert list((tmp_path / "cwd").iterdir()) == []

    def test_with_a_directory_it_keeps_its_data_there(self, certificates: Certificates, tmp_path: Path) -> None:
        with Azurite(certificates, tmp_path / "data"):
            pass
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "data" / "__azurite_db_blob__.json").exists()

    def test_it_stops_when_the_body_raises(self, certificates: Certificates) -> None:
        with pytest.raises(ZeroDivisionError), Azurite(certificates) as running:
            raise ZeroDivisionError
        assert not accepts_connections(running.blob_url)

    def test_stopping_twice_and_unstarted(self, certificates: Certificates) -> None:
        Azurite(certificates).stop()
        running = Azurite(certificates)
        with running:
            running.stop()

    def test_it_ends_with_its_parent(self, tmp_path: Path) -> None:
        program = (
            "import sys, time; from pathlib import Path; from airflow_azure_wi.testing import *\n"
            "with Azurite(Certificates(Path(sys.argv[1]))) as running:\n"
            "    print(running.blob_url, flush=True); time.sleep(60)"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "c")], stdout=subprocess.PIPE, text=True
        )
        try:
            assert parent.stdout
            url = parent.stdout.readline().strip()
            assert accepts_connections(url)
        finally:
            parent.kill()
            parent.wait()
        assert stops_listening(url, within=10)

    @pytest.mark.parametrize("on_the_path", ["Node.js", "a wrapper"])
    def test_it_is_killed_if_it_does_not_stop(
        self, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_the_path: str
    ) -> None:
        if on_the_path == "a wrapper":
            wrapper = tmp_path / "node"
            wrapper.write_text(f'#!/bin/sh\nexec 3<&0\n{node.node_command()[0]} "$@" <&3 &\nwait\n')
            wrapper.chmod(0o700)
            monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(azurite, "_STOP_SECONDS", 0.5)
        with Azurite(certificates) as running:
            assert running._process
            # Stopped processes handle no signal but SIGKILL. The wrapper itself still ends on SIGTERM.
            started = psutil.Process(running._process.pid)
            [*_, newest] = [started, *started.children(recursive=True)]
            newest.send_signal(signal.SIGSTOP)
        assert stops_listening(running.blob_url, within=2)

    def test_failure_to_start_shows_its_output(self, certificates: Certificates) -> None:
        certificates.own.key_file.write_text("no key")
        threads = set(threading.enumerate())
        with (
            pytest.raises(AzuriteError, match=r"(?s)Azurite 3\.37\.0 did not start.*error:.*DECODER"),
            Azurite(certificates),
        ):
            pass
        assert set(threading.enumerate()) <= threads


FAKE_NPM = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
sleep 0.5
if [ -e "$(dirname "$0")/broken" ]; then echo "npm error code E404" >&2; mkdir "$4/half"; exit 1; fi
mkdir -p "$4/node_modules/azurite/dist/src"
touch "$4/node_modules/azurite/dist/src/azurite.js"
"""


class TestInstalling:
    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        return tmp_path / "cache" / "airflow-azure-wi"

    @pytest.fixture
    def npm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """A directory with an npm that installs an empty Azurite, slowly."""
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "npm").write_text(FAKE_NPM)
        (folder / "npm").chmod(0o700)
        monkeypatch.setattr(azurite, "npm_command", lambda: [str(folder / "npm")])
        return folder

    def test_it_is_installed_once(self, cache: Path, npm: Path) -> None:
        script = azurite.installed_azurite()

        assert azurite.installed_azurite() == script
        assert script == cache / "azurite-3.37.0" / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"
        assert script.exists()
        (call,) = (npm / "calls").read_text().splitlines()
        assert call.startswith("install azurite@3.37.0 --prefix ")
        assert "--ignore-scripts" in call
        assert sorted(path.name for path in cache.iterdir()) == ["azurite-3.37.0", "azurite.lock"]

    def test_of_two_that_ask_at_once_one_installs(self, cache: Path, npm: Path) -> None:
        threads = [threading.Thread(target=azurite.installed_azurite) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len((npm / "calls").read_text().splitlines()) == 1

    def test_failure_shows_what_npm_said_and_leaves_nothing(self, cache: Path, npm: Path) -> None:
        (npm / "broken").touch()
        with pytest.raises(AzuriteError, match=r"(?s)could not install Azurite 3\.37\.0.*npm error code E404"):
            azurite.installed_azurite()
        assert [path.name for path in cache.iterdir()] == ["azurite.lock"]

        (npm / "broken").unlink()
        assert azurite.installed_azurite().exists()

    def test_installation_that_takes_too_long(self, cache: Path, npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(azurite, "_INSTALL_SECONDS", 0.1)
        with pytest.raises(AzuriteError, match=r"within 0\.1 seconds"):
            azurite.installed_azurite()
        assert [path.name for path in cache.iterdir()] == ["azurite.lock"]


class TestNode:
    @pytest.fixture
    def _nothing_on_the_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

    def test_on_the_path(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("node", "npm"):
            (tmp_path / name).touch(0o700)
        monkeypatch.setenv("PATH", str(tmp_path))

        assert node.node_command() == [str(tmp_path / "node")]
        assert node.npm_command() == [str(tmp_path / "npm")]

    @pytest.mark.usefixtures("_nothing_on_the_path")
    def test_of_the_wheel(self) -> None:
        for command in (node.node_command(), node.npm_command()):
            result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
            assert result.stdout.strip().lstrip("v").split(".")[0].isdigit()

    @pytest.mark.usefixtures("_nothing_on_the_path")
    def test_azurite_runs_with_the_wheel(self, certificates: Certificates) -> None:
        with Azurite(certificates) as running:
            assert accepts_connections(running.table_url)

    @pytest.mark.usefixtures("_nothing_on_the_path")
    def test_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(node.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(FileNotFoundError, match=r"airflow-azure-wi\[testing\]"):
            node.node_command()

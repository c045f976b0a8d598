"""Every code block of the site is run here, or the comment right before it says why not (see CONTRIBUTING.md)."""

import configparser
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_azure_wi import provider
from airflow_azure_wi.deployment import Deployment
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.testing import OfflineAzure
from tests.docs.pages import DOCS, PAGES, ROOT, Block, blocks_of
from tests.fake_az import FakeAz

# Long enough for a slow machine; nothing here waits for a time to pass.
pytestmark = pytest.mark.timeout(400)

# What --help printed; tests/integration/cli/test_reference.py compares it.
GENERATED = {DOCS / "reference/command-line.md"}
# Tests for pytest; test_testing_page.py lets it run them.
TESTS = {DOCS / "how-to/testing.md"}
RUN = {"python", "bash", "ini", "json"}
ALL = [block for page in PAGES if page not in GENERATED for block in blocks_of(page)]

ACCOUNT = "https://acct.blob.core.windows.net"


RUN_PYTHON = """
import json, sys
names = {"__name__": "__docs__"}
for where, code in json.load(sys.stdin):
    exec(compile(code, where, "exec"), names)
"""


def pages_with(language: str) -> list[Any]:
    """Return the blocks to run, page by page: those of a page build on each other. What several say is run once.

    What the README says, too, is run by tests/integration/test_readme.py.
    """
    first = {block.code: block for block in reversed(ALL) if block.language == language}
    in_readme = {block.code for block in blocks_of(ROOT / "README.md")}
    to_run = [block for code, block in first.items() if not block.reason_not_to_run and code not in in_readme]
    pages = [[block for block in blocks_of(page) if block in to_run] for page in PAGES if page not in TESTS]
    return [pytest.param(blocks, id=blocks[0].where.split(":")[0]) for blocks in pages if blocks]


def is_one_value(line: str) -> bool:
    """Whether a line is hardly more than a value that cannot be broken; what is in single quotes is one, as in .env."""
    return len(line) - max(map(len, re.findall(r"[^\s']*'[^']*'|\S+", line))) <= 40


def test_lines_fit_a_window() -> None:
    """Wider than 80 columns is only a line that cannot be broken. Output stands as it was printed."""
    blocks = [*ALL, *blocks_of(ROOT / "README.md"), *blocks_of(ROOT / "CONTRIBUTING.md")]
    lines = [(block.where, line) for block in blocks if block.language != "text" for line in block.code.splitlines()]
    assert [(where, line) for where, line in lines if len(line) > 80 and not is_one_value(line)] == []


def test_there_are_blocks() -> None:
    assert {block.language for block in ALL} >= RUN
    assert len(ALL) > 40


@pytest.mark.parametrize("block", [pytest.param(block, id=block.where) for block in ALL])
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language in RUN or block.reason_not_to_run, (
        f"{block.where} is {block.language or 'of no language'}, which no test runs: put <!-- not run: REASON --> "
        "on the line before it"
    )
    assert not block.comment or block.reason_not_to_run or block.exit_code, f"{block.where}: {block.comment}"


@pytest.fixture
def azure_wi(
    workload: OfflineAzure, workload_variables: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> OfflineAzure:
    """This process as a workload that has the connection ``azure_wi``."""
    for name, value in workload_variables().items():
        monkeypatch.setenv(name, value)
    return workload


@pytest.mark.parametrize("blocks", pages_with("python"))
def test_python(blocks: list[Block], azure_wi: OfflineAzure) -> None:
    """In a process of its own: aiohttp reads SSL_CERT_FILE once, when it is imported."""
    code = [(block.where, block.code.replace(ACCOUNT, azure_wi.azurite.blob_url)) for block in blocks]
    done = subprocess.run(
        [sys.executable, "-c", RUN_PYTHON],
        input=json.dumps(code),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shell(azure_wi: OfflineAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Shell":
    for name in ("AIRFLOW_HOME", "AIRFLOW__CORE__LOAD_EXAMPLES"):
        monkeypatch.delenv(name, raising=False)
    return Shell(tmp_path, azure_wi)


class Shell:
    """bash, where the Azure CLI, kubectl and Airflow's own commands are stand-ins, and ours are not.

    :param home: an empty directory.
    """

    def __init__(self, home: Path, azure: OfflineAzure) -> None:
        identity = azure.identity_json() | {"name": "airflow", "resourceGroup": "data"}
        self._az = FakeAz(home / "bin", identity)
        self._called = home / "called.jsonl"
        self._called.touch()
        record = f"import json, sys; print(json.dumps(sys.argv[1:]), file=open({str(self._called)!r}, 'a'))"
        self._stand_in("airflow", f"#!{sys.executable}\n{record}\n")
        self._stand_in("kubectl", f"#!{sys.executable}\nimport sys, yaml\nassert all(yaml.safe_load_all(sys.stdin))\n")
        self._home = home / "work"
        self._home.mkdir()
        programs = f"{home / 'bin'}{os.pathsep}{Path(sys.executable).parent}"
        self._variables = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW_HOME": str(home / "airflow"),
        }

    def run(self, block: Block) -> None:
        command = ["bash", "-euo", "pipefail", "-c", block.code]
        done = subprocess.run(
            command, cwd=self._home, env=self._variables, capture_output=True, text=True, check=False, timeout=180
        )
        assert done.returncode == block.exit_code, f"{block.where}\n{block.code}\n{done.stdout}\n{done.stderr}"

    def calls_of_airflow(self) -> list[list[str]]:
        return [json.loads(line) for line in self._called.read_text().splitlines()]

    def _stand_in(self, name: str, text: str) -> None:
        program = self._called.parent / "bin" / name
        program.write_text(text)
        program.chmod(0o755)


@pytest.mark.parametrize("blocks", pages_with("bash"))
def test_bash(blocks: list[Block], shell: Shell) -> None:
    for block in blocks:
        shell.run(block)
    for arguments in shell.calls_of_airflow():
        check_connection_command(arguments)


def check_connection_command(arguments: list[str]) -> None:
    """Let Airflow's own parser read a command; that it then stores the connection is tested with the README."""
    from airflow.cli import cli_parser

    assert arguments[:2] == ["connections", "add"]
    parsed = cli_parser.get_parser().parse_args(arguments)
    assert parsed.conn_type == provider.CONNECTION_TYPE
    assert parsed.conn_id == "azure_wi"
    WorkloadIdentity.from_extra(parsed.conn_extra, source=shlex.join(arguments), environment={})


@pytest.mark.parametrize("blocks", pages_with("json"))
def test_json_is_an_extra(blocks: list[Block]) -> None:
    for block in blocks:
        # A connection of another provider may name one of this package instead.
        if json.loads(block.code).get("azure_conn_id") != "azure_wi":
            WorkloadIdentity.from_extra(block.code, source=block.where, environment={})


@pytest.mark.parametrize("blocks", pages_with("ini"))
def test_ini_is_a_configuration_that_is_accepted(blocks: list[Block]) -> None:
    for block in blocks:
        parser = configparser.ConfigParser()
        parser.read_string(block.code, block.where)
        [section] = parser.sections()
        assert section == provider.CONFIG_SECTION
        assert set(parser[section]) <= set(provider.OPTIONS)
        Deployment.of({}, parser[section])


def test_yaml_is_yaml() -> None:
    found = [block for block in ALL if block.language == "yaml"]
    assert found
    for block in found:
        assert all(yaml.safe_load_all(io.StringIO(block.code))), block.where


def test_the_command_line_is_left_out_because_it_is_generated() -> None:
    assert all("./dev/nox -s reference" in page.read_text() for page in GENERATED)

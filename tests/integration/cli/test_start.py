"""The command line starts at once, and says what it does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_azure_wi import __version__, cli
from tests.integration.cli.conftest import DATA, Run

IMPORTED_AT_ALL = """
import sys
from airflow_azure_wi.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print([name for name in sys.modules if name.split(".")[0] in ("airflow", "azure", "jwt", "requests")], file=sys.stderr)
"""

LINK = ("link", "--identity-name", "abc", "--resource-group", "g", "--issuer", "https://x.example", "--astro", "a")
CONNECTION = ("connection", str(DATA / "az-identity-create.json"), "--format", "kubernetes")


@pytest.mark.parametrize("arguments", [("--help",), ("doctor", "--help"), LINK, CONNECTION])
def test_neither_airflow_nor_azure_is_imported(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", IMPORTED_AT_ALL, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_script_and_the_module_are_the_same_program() -> None:
    script = subprocess.run(
        [Path(sys.executable).parent / cli.PROGRAM, "--version"], capture_output=True, text=True, check=True
    )
    module = subprocess.run(
        [sys.executable, "-m", "airflow_azure_wi", "--version"], capture_output=True, text=True, check=True
    )
    assert script.stdout == module.stdout == f"airflow-azure-wi {__version__}\n"


@pytest.mark.parametrize("command", [command.name for command in cli.COMMANDS])
def test_each_help_has_examples_and_exit_codes_in_80_columns(run: Run, command: str) -> None:
    shown = run(command, "--help").out
    assert "examples:\n  # " in shown
    assert f"airflow-azure-wi {command}" in shown.split("examples:")[1]
    assert re.search(r"exit codes:\n  0  .*\n  1  .*\n  2  .*\n  3  ", shown)
    assert max(map(len, shown.splitlines())) <= 80


def test_a_usage_error_has_its_own_exit_code(run: Run) -> None:
    assert run("link").code == 2
    assert run("unknown").code == 2
    assert run().code == 2
    assert "\nairflow-azure-wi link: error: argument --cloud: " in run("link", "--cloud", "nowhere").err


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = [sys.executable, "-m", "airflow_azure_wi", *LINK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()

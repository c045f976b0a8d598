"""The package in a Python that has neither Airflow nor Azure's libraries, as in the task's other interpreter."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


def run(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
    return subprocess.run([python, *arguments], env=variables, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    "statement",
    [
        "from airflow_azure_wi import AzureWorkloadIdentityHook",
        "import airflow_azure_wi.hooks.azure_workload_identity",
        "from airflow_azure_wi.preflight import AzureWorkloadIdentityPreflightOperator",
    ],
)
def test_an_import_says_what_to_do_instead(bare_python: Path, statement: str) -> None:
    done = run(bare_python, "-c", statement)
    assert done.returncode == 1
    [last] = [line for line in done.stderr.splitlines() if line.startswith("airflow_azure_wi.errors.")]
    kind, _, message = last.partition(": ")
    assert kind == "airflow_azure_wi.errors.AirflowNotInstalledError"
    assert message.startswith(f"Apache Airflow is not installed for '{bare_python}', and")
    assert "AzureWorkloadIdentityHook(...).environment() in another task" in message
    assert message.endswith("DefaultAzureCredential(): pip install azure-identity")


@pytest.mark.parametrize("expected", ["ImportError", "ModuleNotFoundError"])
def test_who_expects_an_import_to_fail_catches_it(bare_python: Path, expected: str) -> None:
    script = f"""
import pickle
try:
    from airflow_azure_wi import AzureWorkloadIdentityHook
except {expected} as error:
    again = pickle.loads(pickle.dumps(error))
    print(error.name, type(again) is type(error), str(again) == str(error))
"""
    assert run(bare_python, "-c", script).stdout == "airflow True True\n"


def test_what_needs_no_airflow_works(bare_python: Path) -> None:
    script = "from airflow_azure_wi import at; print(at('azure_wi', 'https://acct.blob.core.windows.net'))"
    assert "acct.blob.core.windows.net" in run(bare_python, "-c", script).stdout
    assert run(bare_python, "-m", "airflow_azure_wi", "link", "--help").returncode == 0


def test_the_doctor_says_it_without_a_traceback(bare_python: Path) -> None:
    done = run(bare_python, "-m", "airflow_azure_wi", "doctor", "azure_wi")
    assert done.returncode == 2
    assert "Apache Airflow is not installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_airflow_keeps_its_own_error(tmp_path: Path) -> None:
    """An Airflow that is there and cannot be imported is another fault."""
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "__init__.py").write_text("import a_module_that_is_missing\n")
    done = subprocess.run(
        [sys.executable, "-c", "from airflow_azure_wi import AzureWorkloadIdentityHook"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'a_module_that_is_missing'"

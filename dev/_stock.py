"""Runs the stock Azure provider's own hook tests with the bridge and without it, in an environment of nox (stock).

The tests are in the provider's source distribution, below the folder that is named. The exit code is 0 only if every
test has the same result both ways.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

STOCK = "apache-airflow-providers-microsoft-azure"
# Stand for the helpers of Airflow's repository that these tests import.
HELPERS = Path(__file__).resolve().parent / "stock_tests"
FOLDERS = ("unit/microsoft/azure/hooks", "unit/microsoft/azure/fs")


def main(sources: Path) -> int:
    """Say which tests differ."""
    source = f"{STOCK.replace('-', '_')}-{version(STOCK)}"
    with tarfile.open(sources / f"{source}.tar.gz") as archive:
        archive.extractall(sources)  # noqa: S202 - pip has checked what it downloaded
    without, bridged = (results(sources / source / "tests", bridge=on) for on in (False, True))
    different = sorted(name for name in without | bridged if without.get(name) != bridged.get(name))
    for name in different:
        print(f"{name}: {without.get(name)} without the bridge, {bridged.get(name)} with it")
    passed = sum(result == "passed" for result in bridged.values())
    counts = f"{len(bridged)} tests, {passed} passed with the bridge, {len(different)} differ"
    print(f"{STOCK} {version(STOCK)}, Airflow {version('apache-airflow')}: {counts}")
    return 0 if passed and not different else 1


def results(tests: Path, *, bridge: bool) -> dict[str, str]:
    """Run the tests, and return what pytest's report says of each."""
    report = Path(os.environ["AIRFLOW_HOME"]) / f"{bridge}.xml"
    settings = {
        "AIRFLOW__AZURE_WORKLOAD_IDENTITY__BRIDGE_STOCK_HOOKS": str(bridge),
        "PYTHONPATH": f"{HELPERS}{os.pathsep}{tests}",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", "-c", os.devnull]
    subprocess.run(
        [*command, f"--rootdir={tests}", f"--junitxml={report}", *FOLDERS],
        cwd=tests, env=os.environ | settings, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    cases = ElementTree.parse(report).getroot().iter("testcase")  # noqa: S314 - pytest wrote it
    return {f"{case.get('classname')}::{case.get('name')}": result_of(case) for case in cases}


def result_of(case: ElementTree.Element) -> str:
    """One word."""
    kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
    return kinds[0] if kinds else "passed"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

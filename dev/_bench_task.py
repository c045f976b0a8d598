"""What a task of a running Airflow measures: scheduler, API server, DAG processor and supervisor are the real ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _standalone import standalone

DAG = Path(__file__).parent / "_bench_dag.py"
LONGEST_SECONDS = 300


def measured_in_a_task(home: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Run the DAG in an Airflow of its own, and return what its task measured.

    :param home: an empty directory.
    :param variables: the environment of a workload, with the connection ``azure_wi``.
    """
    result, log = home / "result.json", home / "airflow.log"
    (home / "dags").mkdir(parents=True)
    shutil.copy(DAG, home / "dags" / "bench_dag.py")
    settings = dict(variables) | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PARALLELISM": "1",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "BENCH_RESULT": str(result),
    }
    program = str(Path(sys.executable).parent / "airflow")
    with log.open("wb") as output:
        subprocess.run([program, "db", "migrate"], env=settings, check=True, stdout=output, stderr=output)
        with standalone(settings, output) as airflow:
            deadline = time.monotonic() + LONGEST_SECONDS
            while not result.exists():
                if airflow.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"No task has measured anything:\n{log.read_text(errors='replace')[-6000:]}")
                time.sleep(0.5)
    measured: dict[str, Any] = json.loads(result.read_text())
    if not measured.pop("is_supervised"):
        raise SystemExit("The task had no supervisor in another process: what it measured is not what a task costs.")
    return measured

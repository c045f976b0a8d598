import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from airflow_azure_wi import cli
from tests.fake_az import FakeAz

DATA = Path(__file__).parents[2] / "data"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Run = Callable[..., Outcome]
Pipe = Callable[[str | bytes], None]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def run(*arguments: str) -> Outcome:
        try:
            code = cli.main(arguments)
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Pipe a text, or bytes, into this process."""

    def pipe(data: str | bytes) -> None:
        piped = data.encode() if isinstance(data, str) else data
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(piped)))

    return pipe


@pytest.fixture(autouse=True)
def outside_of_a_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def az(tmp_path: Path) -> FakeAz:
    return FakeAz(tmp_path / "bin", json.loads((DATA / "az-identity-create.json").read_text()))

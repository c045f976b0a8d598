"""A federated token whose file nothing rotates, for tests in which it expires."""

from pathlib import Path

from airflow_azure_wi.testing import OfflineAzure, ProjectedToken


class FederatedToken:
    """A federated token that nothing rotates when it expires."""

    def __init__(self, azure: OfflineAzure, directory: Path) -> None:
        self._azure = azure
        self._lifetime = 600.0
        self._projected = ProjectedToken(directory, self._sign)

    def _sign(self) -> str:
        return self._azure.cluster.service_account_token("airflow", "airflow-worker", lifetime=self._lifetime)

    def variables(self) -> dict[str, str]:
        return {"AZURE_FEDERATED_TOKEN_FILE": str(self._projected.path)}

    def rotate(self) -> None:
        self._lifetime = 600.0
        self._projected.rotate()

    def expire(self) -> None:
        self._lifetime = -60.0
        self._projected.rotate()

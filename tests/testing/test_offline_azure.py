"""The offline Azure as a whole."""

import os
import socket
import stat
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import jwt
import pytest

from airflow_azure_wi.testing import Azurite, AzuriteError, OfflineAzure


def port_is_free(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 0)) != 0


def threads_are_gone(before: set[threading.Thread], within: float = 5.0) -> bool:
    """Say whether all threads since then have ended, or do within so many seconds: those of pools take a moment."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not set(threading.enumerate()) - before:
            return True
        time.sleep(0.02)
    return False


def urls_of(azure: OfflineAzure) -> list[str]:
    return [azure.entra.authority_host, f"https://127.0.0.1:{azure.cluster.port}"]


def test_environment_of_the_workload(azure: OfflineAzure) -> None:
    environment = azure.environment()

    assert set(environment) == {
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_AUTHORITY_HOST",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "CURL_CA_BUNDLE",
        "CURL_CA_INFO",
        "NODE_EXTRA_CA_CERTS",
        "HTTPS_PROXY",
        "https_proxy",
        "NO_PROXY",
        "no_proxy",
    }
    assert Path(environment["AZURE_FEDERATED_TOKEN_FILE"]) == azure.projected_token.path
    assert environment["AZURE_AUTHORITY_HOST"] == azure.entra.authority_host
    (ca_file,) = {value for name, value in environment.items() if name.endswith(("BUNDLE", "FILE", "CERTS"))} - {
        str(azure.projected_token.path)
    }
    assert Path(ca_file).read_text().startswith("-----BEGIN CERTIFICATE-----")


def test_identity_trusts_the_default_workload(azure: OfflineAzure) -> None:
    (credential,) = azure.identity.federated_credentials
    claims = jwt.decode(azure.projected_token.path.read_text(), options={"verify_signature": False})

    assert (credential.issuer, credential.subject) == (claims["iss"], claims["sub"])
    assert credential.audiences == tuple(claims["aud"]) == ("api://AzureADTokenExchange",)
    assert claims["sub"] == "system:serviceaccount:airflow:airflow-worker"


def test_without_storage(tmp_path: Path) -> None:
    with OfflineAzure(tmp_path / "azure", with_storage=False) as azure:
        pytest.raises(RuntimeError, lambda: azure.azurite).match("with_storage=False")


def test_token_lifetime(tmp_path: Path) -> None:
    with OfflineAzure(tmp_path / "azure", with_storage=False, token_lifetime=600) as azure:
        azure.projected_token.rotate()
        claims = jwt.decode(azure.projected_token.path.read_text(), options={"verify_signature": False})
    assert 600 <= claims["exp"] - claims["iat"] <= 601


def test_keys_and_tokens_are_private(azure: OfflineAzure) -> None:
    root = azure.projected_token.path.parent.parent
    for folder in (root / "certificates", root / "tokens"):
        paths = [folder, *folder.rglob("*")]
        assert len(paths) > 3
        for path in paths:
            mode = path.stat().st_mode
            assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path


def test_private_key_of_the_authority_is_not_kept(tmp_path: Path) -> None:
    with OfflineAzure(tmp_path, with_storage=False):
        kept = {path.name for path in (tmp_path / "certificates").iterdir() if "PRIVATE KEY" in path.read_text()}
    assert kept == {"server-key.pem"}


def test_relative_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with OfflineAzure(Path("azure"), with_storage=False) as azure:
        assert azure.projected_token.path == tmp_path / "azure" / "tokens" / "azure-identity-token"


def test_directory_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with OfflineAzure(tmp_path, with_storage=False):
        pass
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_directory_can_be_used_again(tmp_path: Path) -> None:
    for _ in range(2):
        with OfflineAzure(tmp_path / "azure", with_storage=False) as azure:
            claims = jwt.decode(azure.projected_token.path.read_text(), options={"verify_signature": False})
            assert claims["iss"] == azure.cluster.issuer


def test_everything_is_torn_down_when_the_body_raises(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    urls: list[str] = []

    def body(azure: OfflineAzure) -> None:
        urls.extend([*urls_of(azure), azure.azurite.blob_url, azure.azurite.queue_url, azure.azurite.table_url])
        assert not any(port_is_free(url) for url in urls)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), OfflineAzure(tmp_path / "azure") as azure:
        body(azure)

    assert len(urls) == 5
    assert all(port_is_free(url) for url in urls)
    assert threads_are_gone(threads)


def test_everything_is_torn_down_when_starting_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(azurite: Azurite) -> None:
        started.append(azurite)
        raise AzuriteError("no")

    started: list[Azurite] = []
    threads, files = set(threading.enumerate()), len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(Azurite, "wait_until_listening", fail)
    azure = OfflineAzure(tmp_path / "azure")
    with pytest.raises(AzuriteError), azure:
        pass

    assert len(started) == 1
    assert all(port_is_free(url) for url in urls_of(azure))
    assert threads_are_gone(threads)
    assert len(os.listdir("/proc/self/fd")) <= files

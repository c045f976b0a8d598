import os
from pathlib import Path

import pytest

from airflow_azure_wi.clouds import PUBLIC, US_GOVERNMENT
from airflow_azure_wi.deployment import STANDARD_TOKEN_FILE, Deployment, default_token_cache_folder
from airflow_azure_wi.errors import DeploymentError
from airflow_azure_wi.provider import OPTIONS


def test_the_environment_names_the_token_file_before_the_configuration() -> None:
    deployment = Deployment.of(
        {"AZURE_FEDERATED_TOKEN_FILE": "/from/environment"}, {"federated_token_file": "/from/configuration"}
    )
    assert deployment.token_file == Path("/from/environment")
    assert "AZURE_FEDERATED_TOKEN_FILE" in deployment.token_file_named_by


def test_the_configuration_names_the_token_file_before_the_standard_path() -> None:
    deployment = Deployment.of({"AZURE_FEDERATED_TOKEN_FILE": " "}, {"federated_token_file": "/from/configuration"})
    assert deployment.token_file == Path("/from/configuration")
    assert "[azure_workload_identity] federated_token_file" in deployment.token_file_named_by


def test_the_standard_path_is_that_of_the_webhook() -> None:
    assert Deployment.of({}).token_file == Path(STANDARD_TOKEN_FILE)


def test_the_authority_is_that_of_the_cloud_unless_the_environment_names_one() -> None:
    assert Deployment.of({}).authority_host_for(PUBLIC) == "https://login.microsoftonline.com"
    assert Deployment.of({}).authority_host_for(US_GOVERNMENT) == "https://login.microsoftonline.us"
    elsewhere = Deployment.of({"AZURE_AUTHORITY_HOST": "https://localhost:8443/"})
    assert elsewhere.authority_host_for(US_GOVERNMENT) == "https://localhost:8443"


def test_an_authority_may_be_a_bare_host() -> None:
    deployment = Deployment.of({"AZURE_AUTHORITY_HOST": "login.microsoftonline.us"})
    assert deployment.authority_host_for(PUBLIC) == "https://login.microsoftonline.us"


@pytest.mark.parametrize(
    "host",
    [
        "http://login.microsoftonline.com",
        "https://",
        "ftp://x",
        "https://a@b",
        "https://a:port",
        "https://[",
        "https://a b",
    ],
)
def test_a_federated_token_goes_to_https_hosts_only(host: str) -> None:
    with pytest.raises(DeploymentError, match=r"AZURE_AUTHORITY_HOST is .*expected an https URL"):
        Deployment.of({"AZURE_AUTHORITY_HOST": host})


def test_access_tokens_stay_in_memory_unless_a_folder_is_chosen() -> None:
    assert Deployment.of({}).token_cache_folder is None
    assert Deployment.of({}, {"token_cache": "memory", "token_cache_folder": "/ignored"}).token_cache_folder is None
    on_disk = Deployment.of({}, {"token_cache": "disk", "token_cache_folder": "/dev/shm/tokens"})
    assert on_disk.token_cache_folder == Path("/dev/shm/tokens")


@pytest.mark.parametrize(("value", "expected"), [("", False), ("False", False), ("True", True), ("1", True)])
def test_identity_binding_is_off_unless_switched_on(value: str, expected: bool) -> None:
    assert Deployment.of({}, {"identity_binding": value}).identity_binding is expected


@pytest.mark.parametrize("value", [" azure_cli ", "AZURE_CLI"])
def test_developers_sign_in_only_where_there_is_no_token_file(value: str, tmp_path: Path) -> None:
    file = tmp_path / "tokens" / "federated-token"
    deployment = Deployment.of({"AZURE_FEDERATED_TOKEN_FILE": str(file)}, {"development_credential": value})
    assert deployment.development_credential_in_use() == "azure_cli"
    file.parent.write_text("a file where a folder should be")
    assert deployment.development_credential_in_use() == "azure_cli"
    file.parent.unlink()
    file.parent.mkdir()
    file.touch()
    assert deployment.development_credential_in_use() is None
    assert Deployment.of({}).development_credential_in_use() is None


def test_a_token_file_that_cannot_be_looked_at_may_be_there() -> None:
    environment = {"AZURE_FEDERATED_TOKEN_FILE": "/" + "x" * 5000}
    deployment = Deployment.of(environment, {"development_credential": "azure_cli"})
    assert deployment.development_credential_in_use() is None


def test_all_that_is_wrong_is_said_at_once() -> None:
    options = {"token_cache": "redis", "identity_binding": "maybe"}
    with pytest.raises(DeploymentError) as caught:
        Deployment.of({"AZURE_AUTHORITY_HOST": "http://x"}, options)
    message = str(caught.value)
    assert "AZURE_AUTHORITY_HOST is 'http://x'" in message
    assert "[azure_workload_identity] token_cache is 'redis', expected memory or disk" in message
    assert "[azure_workload_identity] identity_binding is 'maybe', expected True or False" in message


@pytest.mark.parametrize("folder", ["relative/path", "/nul/\0"])
def test_a_cache_on_disk_wants_an_absolute_folder(folder: str) -> None:
    with pytest.raises(DeploymentError, match=r"token_cache_folder is .*expected the absolute path"):
        Deployment.of({}, {"token_cache": "disk", "token_cache_folder": folder})


def test_the_default_folder_is_below_the_runtime_folder_of_this_user(tmp_path: Path) -> None:
    variables = {"XDG_RUNTIME_DIR": f" {tmp_path} "}
    assert default_token_cache_folder(variables, os.geteuid()) == tmp_path / "airflow-azure-wi"
    on_disk = Deployment.of(variables, {"token_cache": "disk", "token_cache_folder": " "})
    assert on_disk.token_cache_folder == tmp_path / "airflow-azure-wi"


@pytest.mark.parametrize("runtime", ["", "relative", "/is/missing", "/nul/\0", __file__])
def test_it_is_in_shared_memory_where_there_is_no_runtime_folder(runtime: str, tmp_path: Path) -> None:
    folder = default_token_cache_folder({"XDG_RUNTIME_DIR": runtime}, 50000, shared_memory=tmp_path)
    assert folder == tmp_path / "airflow-azure-wi-50000"


def test_the_runtime_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    variables = {"XDG_RUNTIME_DIR": str(tmp_path)}
    stranger = os.geteuid() + 1
    assert default_token_cache_folder(variables, stranger) == Path(f"/dev/shm/airflow-azure-wi-{stranger}")
    (tmp_path / "link").symlink_to(tmp_path)
    linked = {"XDG_RUNTIME_DIR": str(tmp_path / "link")}
    assert default_token_cache_folder(linked, os.geteuid()) == Path(f"/dev/shm/airflow-azure-wi-{os.geteuid()}")


def test_a_machine_without_shared_memory_needs_a_folder(tmp_path: Path) -> None:
    assert default_token_cache_folder({}, 50000, shared_memory=tmp_path / "missing") is None


OF_THE_BRIDGE = {
    *("bridge_stock_hooks", "serve_stock_connections"),
    *("database_sign_in", "database_client_id", "database_tenant_id"),
}
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize("wrapped", [TOKEN, f"Bearer {TOKEN}", f'"{TOKEN}"', f"https://{TOKEN}"])
@pytest.mark.parametrize(
    "name", ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST", *sorted(set(OPTIONS) - OF_THE_BRIDGE)]
)
def test_a_token_in_the_wrong_place_is_not_repeated(name: str, wrapped: str) -> None:
    variables = {name: wrapped} if name.startswith("AZURE_") else {}
    options = {"token_cache": "disk"} | ({} if variables else {name: wrapped})
    with pytest.raises(DeploymentError, match=f"{name}.* is something that looks like a token") as caught:
        Deployment.of(variables, options)
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("path", ["/72f988bf-86f1-41af-91ab-2d7cd011db47", "/common/", "/?x=1", "/#x"])
def test_an_authority_host_has_no_path(path: str) -> None:
    with pytest.raises(DeploymentError, match="without a tenant or another path"):
        Deployment.of({"AZURE_AUTHORITY_HOST": f"https://login.microsoftonline.com{path}"})

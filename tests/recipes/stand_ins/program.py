"""Stands for azcopy, az, Terraform and dbt: signs in as each would, and writes down as whom.

It makes their token request itself, with what it finds where they look. Which of them it is says its own name.
"""

import json
import os
import sys
from pathlib import Path

import jwt
import requests


def main(name: str, arguments: list[str]) -> None:
    token = SIGN_IN[name](arguments)
    claims = token and jwt.decode(token, options={"verify_signature": False})
    with (Path(os.environ["SEEN"]) / "programs.jsonl").open("a") as file:
        print(json.dumps([name, arguments, claims]), file=file)


def azcopy(arguments: list[str]) -> str:
    assert os.environ["AZCOPY_AUTO_LOGIN_TYPE"] == "WORKLOAD"
    file = os.environ["AZURE_FEDERATED_TOKEN_FILE"]
    return exchange(
        os.environ["AZURE_TENANT_ID"], os.environ["AZURE_CLIENT_ID"], content(file), "https://storage.azure.com"
    )


def az(arguments: list[str]) -> str | None:
    assert Path(os.environ["AZURE_CONFIG_DIR"]).is_dir()
    if arguments[0] != "login":
        return None
    given = dict(zip(arguments[2::2], arguments[3::2], strict=False))
    at, file = given["--federated-token"][0], given["--federated-token"][1:]
    assert at == "@"
    return exchange(given["--tenant"], given["--username"], content(file), "https://management.azure.com")


def terraform(arguments: list[str]) -> str | None:
    assert os.environ["ARM_USE_OIDC"] == "true"
    assert os.environ["ARM_ENVIRONMENT"] == "public"
    if "apply" not in arguments:
        return None
    file = os.environ["ARM_OIDC_TOKEN_FILE_PATH"]
    return exchange(
        os.environ["ARM_TENANT_ID"], os.environ["ARM_CLIENT_ID"], content(file), "https://management.azure.com"
    )


def dbt(arguments: list[str]) -> str:
    return os.environ["DBT_ENV_SECRET_TOKEN"]


SIGN_IN = {program.__name__: program for program in (azcopy, az, terraform, dbt)}


def content(file: str) -> str:
    return Path(file).read_text()


def exchange(tenant_id: str, client_id: str, assertion: str, resource: str) -> str:
    request = {
        "grant_type": "client_credentials",
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": assertion,
        "client_id": client_id,
        "scope": f"{resource}/.default",
    }
    url = f"{os.environ['AZURE_AUTHORITY_HOST']}/{tenant_id}/oauth2/v2.0/token"
    answer = requests.post(url, request, timeout=60)
    answer.raise_for_status()
    return answer.json()["access_token"]


if __name__ == "__main__":
    main(Path(sys.argv[0]).name, sys.argv[1:])

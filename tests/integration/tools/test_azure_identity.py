"""azure-identity in another language, and what the hook gives to fsspec."""

import os
import subprocess
import sys
from uuid import uuid4

from airflow_azure_wi import AzureWorkloadIdentityHook
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from airflow_azure_wi.testing.azurite import installed_azurite
from airflow_azure_wi.testing.node import node_command
from tests.integration.tools.conftest import Start

STORAGE = "https://storage.azure.com/.default"

NODE_SCRIPT = """
const { DefaultAzureCredential } = require('@azure/identity');
new DefaultAzureCredential().getToken('https://storage.azure.com/.default')
  .then((token) => console.log(Math.round((token.expiresOnTimestamp - Date.now()) / 60000)));
"""

FSSPEC_SCRIPT = """
import sys
from adlfs import AzureBlobFileSystem
from airflow_azure_wi import AzureWorkloadIdentityHook
url, container = sys.argv[1:]
files = AzureBlobFileSystem(**AzureWorkloadIdentityHook("azure_wi").storage_options(url))
files.mkdir(container)
files.pipe_file(f"{container}/it", b"written through fsspec")
assert files.ls(container) == [f"{container}/it"]
print(files.cat_file(f"{container}/it").decode())
"""


def test_azure_identity_in_node_js(
    start: Start, surroundings: dict[str, str], azure: OfflineAzure, identity: ManagedIdentity
) -> None:
    """With the azure-identity that Azurite brings."""
    modules = next(parent for parent in installed_azurite().parents if parent.name == "node_modules")
    surroundings["NODE_PATH"] = str(modules)
    assert int(start(*node_command(), "-e", NODE_SCRIPT)) in range(55, 61)
    [exchange] = azure.entra.exchanges
    assert (exchange.client_id, exchange.scope, exchange.error_code) == (identity.client_id, STORAGE, None)


def test_fsspec_reads_and_writes_blobs(
    hook: AzureWorkloadIdentityHook, azure: OfflineAzure, identity: ManagedIdentity
) -> None:
    """In a process of its own: aiohttp reads SSL_CERT_FILE once, when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", FSSPEC_SCRIPT, azure.azurite.blob_url, f"fsspec-{uuid4()}"],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "written through fsspec"
    assert [exchange.client_id for exchange in azure.entra.exchanges] == [identity.client_id]

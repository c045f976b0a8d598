"""What a process sends and writes: a token exchange, the requests of its client, and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from airflow_azure_wi.testing import OfflineAzure

# Prints, as JSON, what it looked up, what it connected to and what it wrote; before any call of the hook, and in all.
PROGRAM = """
import json, os, sys, tempfile

tempfile.gettempdir()  # writes a file to see whether it can
looked_up, connected, written = set(), set(), set()

def note(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        looked_up.add(str(arguments[0]))
    elif event in ("socket.connect", "socket.sendto"):
        connected.add(str(arguments[1]))
    elif event == "open" and isinstance(arguments[0], str) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        written.add(arguments[0])

sys.addaudithook(note)

from airflow_azure_wi import AzureWorkloadIdentityHook
from azure.storage.blob import BlobServiceClient

hook = AzureWorkloadIdentityHook("azure_wi")
idle = sorted(looked_up | connected)
blobs = hook.get_client(BlobServiceClient, account_url=sys.argv[1])
assert not blobs.get_container_client("no-such-container").exists()
hook.get_token("https://vault.azure.net/.default")
assert hook.test_connection()[0]
print(json.dumps([idle, sorted(looked_up), sorted(connected), sorted(written)]))
"""


def test_a_process_reaches_the_authority_and_the_service_alone_and_writes_no_file(
    workload: OfflineAzure, workload_variables: Callable[..., dict[str, str]], tmp_path: Path
) -> None:
    variables = os.environ | workload_variables() | {"AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", PROGRAM, workload.azurite.blob_url],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    idle, looked_up, connected, written = json.loads(done.stdout.splitlines()[-1])
    assert idle == []
    expected = [urlsplit(url) for url in (variables["AZURE_AUTHORITY_HOST"], workload.azurite.blob_url)]
    assert set(looked_up) <= {each.hostname for each in expected}
    assert set(connected) == {str(("127.0.0.1", each.port)) for each in expected}
    # What Airflow itself writes is in its home.
    assert [path for path in written if not path.startswith((str(tmp_path), os.devnull))] == []

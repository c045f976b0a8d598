"""The message queue azure+servicebus: what an asset watcher waits for in the triggerer."""

import asyncio
import secrets
from pathlib import Path

import pytest
from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger
from azure.servicebus._pyamqp._encode import encode_payload
from azure.servicebus._pyamqp.message import Message

from airflow_azure_wi import at
from airflow_azure_wi.testing import ManagedIdentity, OfflineAzure
from airflow_azure_wi.testing.certificates import Certificates
from tests.service_bus import ServiceBus


def test_a_message_of_a_queue_fires_the_trigger(
    connection: str, workload: OfflineAzure, identity: ManagedIdentity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address that no other run of this test has at the moment: clients take no port.
    address = "127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3))
    certificates = Certificates(tmp_path / "certificates")
    # Service Bus' client trusts no other certificates.
    monkeypatch.setattr("certifi.where", lambda: str(certificates.ca_file))
    bus = ServiceBus()
    bus.queues["orders"].append(bytes(encode_payload(bytearray(), Message(data=[b"order 42"]))))
    trigger = MessageQueueTrigger(
        scheme="azure+servicebus",
        queues=["orders"],
        azure_service_bus_conn_id=at(connection, f"https://{address}"),
        max_wait_time=5,
    )

    async def first_event() -> object:
        return (await anext(trigger.run())).payload

    with bus.listening(address, certificates.issue("servicebus", address)):
        assert asyncio.run(first_event()) == {"message": "order 42", "queue": "orders"}
    assert bus.outcomes == ["accepted"]
    [(name, claims)] = bus.tokens.items()
    assert name == f"sb://{address}/orders"
    assert (claims["aud"], claims["appid"]) == ("https://servicebus.azure.net/", identity.client_id)
    assert len(workload.entra.exchanges) == 1

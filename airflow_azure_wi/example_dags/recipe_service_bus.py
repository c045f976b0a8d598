"""Service Bus: send a message to a queue, receive and complete it.

Install: `azure-servicebus`, which the stock Azure provider brings, and `websocket-client`.
Roles: Azure Service Bus Data Sender and Azure Service Bus Data Receiver.
Tested by running it against a stand-in that speaks AMQP with the SDK and checks its access token.
"""

from airflow_azure_wi import AzureWorkloadIdentityHook

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

NAMESPACE = "my-namespace.servicebus.windows.net"


@dag(schedule=None, tags=["azure", "recipe"])
def recipe_service_bus():
    @task
    def send_and_receive():
        from azure.servicebus import ServiceBusClient, ServiceBusMessage, TransportType

        hook = AzureWorkloadIdentityHook("azure_wi")
        # Uses port 443, and the proxy in HTTPS_PROXY if there is one. The default is AMQP on port 5671.
        over = TransportType.AmqpOverWebsocket
        with hook.get_client(ServiceBusClient, fully_qualified_namespace=NAMESPACE, transport_type=over) as bus:
            with bus.get_queue_sender("recipes") as sender:
                sender.send_messages(ServiceBusMessage("Hello from a bus"))
            received = []
            with bus.get_queue_receiver("recipes") as receiver:
                for message in receiver.receive_messages(max_message_count=1, max_wait_time=30):
                    received.append(str(message))
                    # A message that is not completed is delivered again when its lock expires.
                    receiver.complete_message(message)
            return received

    send_and_receive()


recipe_service_bus()

"""The hook: one Airflow connection, and every Azure SDK client, token and tool that works through it."""

import logging
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_azure_wi import airflow_compat, provider
from airflow_azure_wi.redaction import quoted

# Everything else is imported where it is used: dag files import this module all day and seldom use it.
if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.identity import WorkloadIdentityCredential
    from azure.identity.aio import WorkloadIdentityCredential as AsyncWorkloadIdentityCredential

    from airflow_azure_wi.deployment import Deployment
    from airflow_azure_wi.doctor import Report
    from airflow_azure_wi.identity import WorkloadIdentity

Client = TypeVar("Client")

# What rich, by which Airflow prints, takes for markup: RE_TAGS in
# https://github.com/Textualize/rich/blob/master/rich/markup.py
_MARKUP = re.compile(r"\[([a-z#/@][^\[\]]*)\]")


class AzureWorkloadIdentityHook(airflow_compat.BaseHook):
    """Signs in to Azure as the managed identity that a connection names, with no secret.

    .. code-block:: python

        hook = AzureWorkloadIdentityHook("azure_wi")
        blobs = hook.get_client(BlobServiceClient, account_url="https://acct.blob.core.windows.net")

    All hooks in a process that mean the same identity share their access tokens, across threads and event loops.
    Nothing is read, imported or sent before the first credential, client or token is asked for.

    :param conn_id: the id of an ``azure_workload_identity`` connection; a stock ``azure`` connection that names a
        managed identity works too. Where the id names an endpoint (:func:`~airflow_azure_wi.endpoints.at`), clients are
        built for that endpoint; credentials and tokens are for any.
    :param sdk_client: the class of Azure SDK client that :meth:`get_conn` returns, instead of the credential.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "azure_workload_identity_default"
    conn_type = provider.CONNECTION_TYPE
    hook_name = provider.HOOK_NAME

    def __init__(
        self,
        conn_id: str = default_conn_name,
        *,
        sdk_client: type[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.conn_id = conn_id
        self.sdk_client = sdk_client
        self._identity: WorkloadIdentity | None = None
        # What was handed out last, by whether it is asynchronous, with the deployment that it is for.
        self._credentials: dict[bool, tuple[Deployment, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the credentials: elsewhere, the deployment is another."""
        return self.__dict__ | {"_credentials": {}}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the connection form's fields as widgets, for Airflow 2.11 to 3.1."""
        return airflow_compat.form_widgets(provider.FIELDS)

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return which standard fields the connection form hides, for Airflow 2.11 to 3.1."""
        return airflow_compat.form_behaviour(provider.FORM)

    def get_identity(self) -> "WorkloadIdentity":
        """Return who the connection signs in as.

        :raises IdentityError: names everything that is wrong with the connection, at once.
        """
        if self._identity is None:
            self._identity = self._identity_in(self.get_connection(self._own_id()))
        return self._identity

    def get_credential(self) -> "WorkloadIdentityCredential":
        """Return the credential, for anything that takes an azure-identity credential.

        It is shared with all who use the same identity in this process; closing it does nothing.

        :raises IdentityError: if the connection does not describe a workload identity.
        :raises DeploymentError: if what the deployment says cannot be used.
        """
        credential: WorkloadIdentityCredential = self._shared_credential(is_async=False)
        return credential

    def get_async_credential(self) -> "AsyncWorkloadIdentityCredential":
        """Return the credential for asynchronous clients; it shares its access tokens with the synchronous one.

        In a trigger or an asynchronous task, ``await`` :meth:`aget_credential` instead.
        """
        credential: AsyncWorkloadIdentityCredential = self._shared_credential(is_async=True)
        return credential

    async def aget_credential(self) -> "AsyncWorkloadIdentityCredential":
        """Return what :meth:`get_async_credential` does, reading the connection without blocking the event loop."""
        await self._aload()
        return self.get_async_credential()

    def get_client(self, client_class: type[Client], **kwargs: Any) -> Client:
        """Build an Azure SDK client that signs in through this connection.

        :param client_class: the class, such as ``azure.storage.blob.BlobServiceClient``.
        :param kwargs: passed on to the class. ``credential`` is added, and ``subscription_id`` from the connection
            where the class takes one and ``kwargs`` has none. In another cloud than the public one, management clients
            (``azure.mgmt``) are also given its ``base_url`` and ``credential_scopes``. To a ``user_agent``, this
            package and the operator that runs are added, unless AZURE_TELEMETRY_DISABLED is true.
        :raises ClientError: if the class wants a subscription and neither names one, is asynchronous, or cannot be used
            at the endpoint that the connection id names.
        """
        return client_class(**self._client_arguments(client_class, kwargs, is_async=False))

    def get_async_client(self, client_class: type[Client], **kwargs: Any) -> Client:
        """Build an asynchronous Azure SDK client (of an ``.aio`` module); otherwise as :meth:`get_client`.

        In a trigger or an asynchronous task, ``await`` :meth:`aget_client` instead.
        """
        return client_class(**self._client_arguments(client_class, kwargs, is_async=True))

    async def aget_client(self, client_class: type[Client], **kwargs: Any) -> Client:
        """Build what :meth:`get_async_client` does, reading the connection without blocking the event loop."""
        await self._aload()
        return self.get_async_client(client_class, **kwargs)

    def get_conn(self) -> Any:
        """Return the credential or, where the hook was built with an ``sdk_client``, that client."""
        return self.get_credential() if self.sdk_client is None else self.get_client(self.sdk_client)

    def get_token(self, *scopes: str, **kwargs: Any) -> "AccessToken":
        """Return an access token for a service that takes one as it is, such as a database as a password.

        The token is kept out of the task's logs. Never return it from a task: what a task returns is stored.

        :param scopes: the scope, such as ``https://ossrdbms-aad.database.windows.net/.default``.
        :param kwargs: passed on to ``get_token`` of the credential.
        :return: ``.token`` and ``.expires_on`` (seconds since the epoch, UTC).
        :raises TokenExchangeError: if Entra gives no token.
        :raises FederatedTokenError: if there is no usable federated token.
        """
        access_token = self.get_credential().get_token(*scopes, **kwargs)
        airflow_compat.mask_once(access_token.token)
        return access_token

    async def aget_token(self, *scopes: str, **kwargs: Any) -> "AccessToken":
        """Return what :meth:`get_token` does, without blocking the event loop."""
        credential = await self.aget_credential()
        access_token = await credential.get_token(*scopes, **kwargs)
        await airflow_compat.amask_once(access_token.token)
        return access_token

    def environment(self) -> dict[str, str]:
        """Return the environment variables by which other tools sign in as this identity.

        They name ids, a path and a host: nothing in them is secret. The variables are those of azure-identity in every
        language, of azcopy, and of Terraform's azurerm. Where a developer signs in instead
        (``development_credential``), they say which of azure-identity's credentials is used, and neither a client id
        nor a file.
        """
        from airflow_azure_wi.tools import variables_for

        return variables_for(self.get_identity(), airflow_compat.deployment())

    def storage_options(self, account: str) -> dict[str, Any]:
        """Return what fsspec and adlfs take to open a storage account, as pandas' and Dask's ``storage_options`` too.

        .. code-block:: python

            pandas.read_csv("abfs://container/it.csv", storage_options=hook.storage_options("acct"))

        :param account: the name of the account, or the https URL of its blobs.
        :raises EndpointError: if it is neither.
        """
        from airflow_azure_wi.tools import storage_options

        return storage_options(account, cloud=self.get_identity().cloud, credential=self.get_async_credential())

    def test_connection(self) -> tuple[bool, str]:
        """Make the checks of the doctor, and say as whom the connection signs in or why it does not.

        The message is short: Airflow shows it for seconds, or cuts it. The whole report goes to the log.
        """
        from airflow_azure_wi.doctor.result import log_report

        # While it tests a connection of the form, Airflow gives it an id of random letters.
        report = self._examine("this connection", (), None)
        log_report(logging.getLogger(__name__), report.as_text(), is_ok=report.is_ok)
        # `airflow connections test` would print no word that is in brackets.
        return report.is_ok, _MARKUP.sub(r"(\1)", report.verdict())

    def examine(self, *, scopes: Sequence[str] = (), subscription_id: str | None = None) -> "Report":
        """Make the checks of ``airflow-azure-wi doctor`` here, and return all that they found.

        :param scopes: scopes to get a token for, besides that of Azure Resource Manager.
        :param subscription_id: a subscription that must be visible to the identity.
        """
        return self._examine(self._name(), scopes, subscription_id)

    def _examine(self, about: str, scopes: Sequence[str], subscription_id: str | None) -> "Report":
        from airflow_azure_wi import doctor

        try:
            connection = self.get_connection(self._own_id())
        except Exception as error:  # noqa: BLE001 - secrets backends and Fernet raise what they like
            return self._report_unreadable(error)
        context = doctor.DoctorContext.in_airflow(connection, source=about)
        return doctor.examine(context, scopes=scopes, subscription_id=subscription_id)

    async def aexamine(self, *, scopes: Sequence[str] = (), subscription_id: str | None = None) -> "Report":
        """Return what :meth:`examine` does, without blocking the event loop."""
        import asyncio

        from airflow_azure_wi import doctor

        try:
            connection = await airflow_compat.aget_connection(self, self._own_id())
        except Exception as error:  # noqa: BLE001 - as above
            return self._report_unreadable(error)
        context = doctor.DoctorContext.in_airflow(connection, source=self._name())
        return await asyncio.to_thread(doctor.examine, context, scopes=scopes, subscription_id=subscription_id)

    def _shared_credential(self, *, is_async: bool) -> Any:
        now, last = airflow_compat.deployment(), self._credentials.get(is_async)
        if last is None or last[0] is not now or now.development_credential:
            from airflow_azure_wi import auth
            from airflow_azure_wi.clients import quiet_http_logging

            quiet_http_logging(os.environ)
            credential_for = auth.async_credential_for if is_async else auth.credential_for
            last = self._credentials[is_async] = now, credential_for(self.get_identity(), now, used_by=self._name())
        return last[1]

    def _client_arguments(self, client_class: type[Any], given: dict[str, Any], *, is_async: bool) -> dict[str, Any]:
        from airflow_azure_wi.clients import arguments_for, user_agent
        from airflow_azure_wi.endpoints import endpoint_of

        return arguments_for(
            client_class,
            given,
            credential=self.get_async_credential() if is_async else self.get_credential(),
            subscription_id=self.get_identity().subscription_id,
            cloud=self.get_identity().cloud,
            is_async=is_async,
            source=self._name(),
            endpoint=endpoint_of(self.conn_id),
            sender=user_agent(os.environ, airflow_compat.operator()),
        )

    def _own_id(self) -> str:
        """Return the id of the connection, without the endpoint that it may be used at."""
        from airflow_azure_wi.endpoints import split

        return split(self.conn_id)[0]

    async def _aload(self) -> None:
        if self._identity is None:
            self._identity = self._identity_in(await airflow_compat.aget_connection(self, self._own_id()))

    def _identity_in(self, connection: Any) -> "WorkloadIdentity":
        from airflow_azure_wi.identity import identity_from_connection

        return identity_from_connection(connection, environment=os.environ, source=self._name())

    def _report_unreadable(self, error: Exception) -> "Report":
        from airflow_azure_wi.doctor import Report

        is_missing = airflow_compat.is_not_found(error)
        report = Report.of_missing_connection if is_missing else Report.of_unreadable_connection
        return report(self._own_id(), str(error) or type(error).__name__)

    def _name(self) -> str:
        return f"connection {quoted(self.conn_id)}"

"""Airflow's own database: each new connection of SQLAlchemy to its server gets an access token as its password.

SQLAlchemy asks before it connects (the event ``do_connect``), for every engine in the process: Airflow's synchronous
and asynchronous one, Alembic's in ``airflow db migrate``, and that of Celery's result backend. The token is in the
arguments of that one connection: not in a URL, which Airflow and SQLAlchemy print, and not in a configuration.
"""

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.errors import DeploymentError, IdentityError, WorkloadIdentityError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import quoted

logger = logging.getLogger(__name__)

_OPTION = "database_sign_in"
_PORT = "5432"

# A process that has had an access token waits this long for the next one: about as long as Linux tries to reach a
# server that does not answer (tcp_syn_retries, https://docs.kernel.org/networking/ip-sysctl.html). A scheduler that is
# refused a connection ends within seconds.
WAIT_SECONDS = 120.0
_PAUSE_SECONDS = 2.0

# libpq's, https://www.postgresql.org/docs/current/libpq-ssl.html; asyncpg takes the same words. The others allow a
# connection without TLS, on which anyone on the network could read the token.
_WITH_TLS = ("require", "verify-ca", "verify-full")
_DRIVERS = ("psycopg2", "psycopg", "asyncpg")


class _Login(NamedTuple):
    """A user of a server of PostgreSQL, as a URL names it."""

    host: str
    port: str
    user: str

    @classmethod
    def of(cls, host: Any, port: Any, user: Any) -> "_Login":
        return cls(str(host or "").lower(), str(port or _PORT), str(user or ""))


class _Outage:
    """How long this process has got no access token for the database; one for all its threads."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._has_signed_in = False

    def is_worth_waiting(self, error: WorkloadIdentityError) -> bool:
        """Return whether to ask again in a moment; say so in the log once.

        Not at a process's first sign-in, which fails because something was never right.
        """
        if not self._has_signed_in:
            return False
        if self._began is None:
            self._began = time.monotonic()
            logger.warning("New connections to Airflow's database wait %.0f s for this:\n%s", WAIT_SECONDS, error)
        return time.monotonic() - self._began < WAIT_SECONDS

    def is_over(self) -> None:
        if self._began is not None:
            seconds = time.monotonic() - self._began
            logger.warning("Airflow's database can be signed in to again, after %.0f s", seconds)
        self._began = None
        self._has_signed_in = True


_outage = _Outage()


def listen() -> None:
    """Let SQLAlchemy ask here before each connection that it makes."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "do_connect", _connect):
        event.listen(Engine, "do_connect", _connect)


def _connect(dialect: Any, _: Any, arguments: list[Any], parameters: dict[str, Any]) -> Any:
    """Connect with an access token, if it is to Airflow's database; otherwise leave it to SQLAlchemy."""
    if dialect.name != "postgresql":
        return None
    login = _Login.of(parameters.get("host"), parameters.get("port"), parameters.get("user"))
    if login not in _logins():
        return None
    # A copy: the engine keeps its own for all its connections.
    parameters = dict(parameters)
    try:
        _require_tls(dialect.driver, parameters)
        who = _who_signs_in()
        parameters["password"] = _access_token(who, is_async=dialect.is_async)
    except WorkloadIdentityError as error:
        # As if the server refused: Airflow tries some queries again after it (airflow/utils/retries.py).
        text = f"no access token for Airflow's database ({option_name(_OPTION)}):\n{error}"
        raise dialect.dbapi.OperationalError(text) from None
    try:
        return dialect.connect(*arguments, **parameters)
    except Exception as error:
        raise dialect.dbapi.OperationalError(f"{error}\n{who.as_role(login.user)}") from error


@cache
def _logins() -> frozenset[_Login]:
    return frozenset(_logins_in_configuration())


def _logins_in_configuration() -> Iterator[_Login]:
    from airflow.configuration import conf
    from sqlalchemy.engine import make_url

    for section, option in (
        ("database", "sql_alchemy_conn"),
        ("database", "sql_alchemy_conn_async"),
        ("celery", "result_backend"),
    ):
        text = conf.get(section, option, fallback="") or ""
        if not text.removeprefix("db+").startswith("postgres"):
            continue
        url = make_url(text.removeprefix("db+"))
        yield _Login.of(url.host or url.query.get("host"), url.port or url.query.get("port"), url.username)


def _require_tls(driver: str, parameters: dict[str, Any]) -> None:
    """Let a connection be made with TLS or not at all, and give asyncpg what the URL says in libpq's words."""
    if driver not in _DRIVERS:
        raise DeploymentError(
            f"The URL of the database names the driver {quoted(driver)}, expected one of {', '.join(_DRIVERS)}."
        )
    is_asyncpg = driver == "asyncpg"
    mode = parameters.pop("sslmode", None) or parameters.get("ssl") or os.environ.get("PGSSLMODE") or "require"
    if isinstance(mode, str) and mode not in _WITH_TLS:
        raise DeploymentError(
            f"The URL of the database (or PGSSLMODE) says sslmode={quoted(mode)}, and an access token is sent only "
            "over TLS. Say sslmode=require there, or sslmode=verify-full and sslrootcert."
        )
    parameters["ssl" if is_asyncpg else "sslmode"] = mode
    if is_asyncpg and (file := parameters.pop("sslrootcert", None)):
        context = ssl.create_default_context(cafile=None if file == "system" else file)
        context.check_hostname = mode == "verify-full"
        parameters["ssl"] = context


class _Who(NamedTuple):
    """The identity that signs in, and what named it."""

    identity: WorkloadIdentity
    named_by: str

    def as_role(self, role: str) -> str:
        return (
            f"The server was asked for role {quoted(role)} with an access token of client id "
            f"{self.identity.client_id} (from {self.named_by}). If it refused that, the role is missing or belongs to "
            f"another identity.\nNext step: create the role for that identity, or set {self.named_by} to the one that "
            "has it."
        )


def _who_signs_in() -> _Who:
    from airflow_azure_wi.clouds import PUBLIC, cloud_at

    if problem := _problem_of_option():
        raise DeploymentError(problem)
    authority_host = airflow_compat.deployment().authority_host
    cloud = (cloud_at(authority_host) if authority_host else None) or PUBLIC
    options, option = airflow_compat.options(), option_name("database_client_id")
    ids = {
        "clientId": options["database_client_id"] or os.environ.get("AZURE_CLIENT_ID"),
        "tenantId": options["database_tenant_id"] or os.environ.get("AZURE_TENANT_ID"),
    }
    extra = ids | {"cloud_environment": cloud.name}
    try:
        identity = WorkloadIdentity.from_extra(extra, source="the deployment", environment=None)
    except IdentityError as error:
        raise DeploymentError(
            f"{error}\nNext step: set {option} and database_tenant_id, or AZURE_CLIENT_ID and AZURE_TENANT_ID, for "
            "each component of Airflow."
        ) from None
    return _Who(identity, option if options["database_client_id"] else "AZURE_CLIENT_ID")


def _access_token(who: _Who, *, is_async: bool) -> str:
    """Return an access token; wait for one if this process has had one before."""
    from sqlalchemy.util import await_only

    while True:
        try:
            token = _ask_for_token(who, is_async=is_async)
        except WorkloadIdentityError as error:
            if not _outage.is_worth_waiting(error):
                raise
        else:
            _outage.is_over()
            return token
        # An asynchronous engine connects in a greenlet of SQLAlchemy's: the event loop goes on meanwhile.
        if is_async:
            await_only(asyncio.sleep(_PAUSE_SECONDS))
        else:
            time.sleep(_PAUSE_SECONDS)


def _ask_for_token(who: _Who, *, is_async: bool) -> str:
    from sqlalchemy.util import await_only

    from airflow_azure_wi import auth

    deployment, scope = airflow_compat.deployment(), f"{who.identity.cloud.ossrdbms}/.default"
    used_by = f"Airflow's database with {who.named_by}"
    if not is_async:
        return auth.credential_for(who.identity, deployment, used_by=used_by).get_token(scope).token
    return str(await_only(auth.async_credential_for(who.identity, deployment, used_by=used_by).get_token(scope)).token)


def _problem_of_option() -> str | None:
    try:
        airflow_compat.switch(_OPTION)
    except ValueError as error:
        return str(error)
    return None

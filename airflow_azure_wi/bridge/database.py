"""Airflow's own database: each new connection of SQLAlchemy to its server gets an access token as its password.

SQLAlchemy asks before it connects (the event ``do_connect``), for every engine in the process: Airflow's synchronous
and asynchronous one, Alembic's in ``airflow db migrate``, and that of Celery's result backend. The token is in the
arguments of that one connection: not in a URL, which Airflow and SQLAlchemy print, and not in a configuration.
"""

import os
import ssl
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from airflow_azure_wi import airflow_compat
from airflow_azure_wi.errors import DeploymentError, IdentityError, WorkloadIdentityError
from airflow_azure_wi.identity import WorkloadIdentity
from airflow_azure_wi.provider import option_name
from airflow_azure_wi.redaction import quoted

_OPTION = "database_sign_in"
_PORT = "5432"

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


def listen() -> None:
    """Let SQLAlchemy ask here before each connection that it makes."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "do_connect", _before_connecting):
        event.listen(Engine, "do_connect", _before_connecting)


def _before_connecting(dialect: Any, _: Any, __: Any, parameters: dict[str, Any]) -> None:
    """Put an access token into the arguments of a connection, if it is one to Airflow's database."""
    if dialect.name != "postgresql":
        return
    login = _Login.of(parameters.get("host"), parameters.get("port"), parameters.get("user"))
    if login not in _logins():
        return
    try:
        _require_tls(dialect.driver, parameters)
        parameters["password"] = _access_token(is_async=dialect.is_async)
    except WorkloadIdentityError as error:
        # As if the server refused: Airflow tries some queries again after it (airflow/utils/retries.py).
        text = f"no access token for Airflow's database ({option_name(_OPTION)}):\n{error}"
        raise dialect.dbapi.OperationalError(text) from None


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


def _access_token(*, is_async: bool) -> str:
    from airflow_azure_wi import auth
    from airflow_azure_wi.clouds import PUBLIC, cloud_at

    if problem := _problem_of_option():
        raise DeploymentError(problem)
    deployment = airflow_compat.deployment()
    cloud = (cloud_at(deployment.authority_host) if deployment.authority_host else None) or PUBLIC
    identity, scope = _identity(cloud.name), f"{cloud.ossrdbms}/.default"
    used_by = "Airflow's database"
    if not is_async:
        return auth.credential_for(identity, deployment, used_by=used_by).get_token(scope).token
    from sqlalchemy.util import await_only

    # An asynchronous engine connects in a greenlet of SQLAlchemy's: the event loop goes on meanwhile.
    token = await_only(auth.async_credential_for(identity, deployment, used_by=used_by).get_token(scope))
    return str(token.token)


def _problem_of_option() -> str | None:
    try:
        airflow_compat.switch(_OPTION)
    except ValueError as error:
        return str(error)
    return None


def _identity(cloud: str) -> WorkloadIdentity:
    options = airflow_compat.options()
    ids = {
        "clientId": options["database_client_id"] or os.environ.get("AZURE_CLIENT_ID"),
        "tenantId": options["database_tenant_id"] or os.environ.get("AZURE_TENANT_ID"),
    }
    extra = ids | {"cloud_environment": cloud}
    try:
        return WorkloadIdentity.from_extra(extra, source="the deployment", environment=None)
    except IdentityError as error:
        names = f"{option_name('database_client_id')} and database_tenant_id"
        raise DeploymentError(
            f"{error}\nNext step: set {names}, or AZURE_CLIENT_ID and AZURE_TENANT_ID, for each component of Airflow."
        ) from None

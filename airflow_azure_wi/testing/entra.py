"""A simulated Microsoft Entra ID, as far as a workload needs one: it exchanges federated tokens for access tokens."""

import asyncio
import base64
import os
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_azure_wi.clouds import CLOUDS
from airflow_azure_wi.testing.assertions import (
    AUTHENTICATED_BY,
    BY_ASSERTION,
    BY_SECRET,
    Assertion,
    IssuerKeys,
    entra_issuer,
    validate,
)
from airflow_azure_wi.testing.certificates import AUTHORITY_HOSTS, Certificates
from airflow_azure_wi.testing.faults import CloseConnection, Delay, Fault, Hang, Refuse, Status
from airflow_azure_wi.testing.identities import ManagedIdentity
from airflow_azure_wi.testing.refusals import Refusal
from airflow_azure_wi.testing.resources import is_known_resource
from airflow_azure_wi.testing.server import HttpsServer
from airflow_azure_wi.testing.signing import SigningKey

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_DEFAULT = "/.default"

# MSAL for Go adds these to the scope of each request. Without a user, they have no effect.
_OF_OPENID_CONNECT = ("openid", "offline_access", "profile")

# Access tokens for these audiences have version 2.0.
_TOKEN_EXCHANGE = frozenset(cloud.token_exchange_audience for cloud in CLOUDS.values())

# Entra tells clients to refresh a token halfway through its life if it lives at least this long.
_LONG_LIVED_SECONDS = 7200


@dataclass(frozen=True)
class Exchange:
    """A token request that reached the endpoint. It contains no token.

    :param at: when it arrived, in seconds since the epoch (UTC).
    :param host: the name or address that the client used, without a port, because some clients leave it out.
    :param tenant_id: the tenant, as the request names it.
    :param client_id: the client id, or ``""``.
    :param scope: the scope, without those of OpenID Connect (such as ``openid``), or ``""``.
    :param subject: the subject of the client assertion, ``""`` if unreadable.
    :param assertion_id: the ``jti`` of the client assertion, unique for each projected token; ``""`` if unreadable.
    :param user_agent: the user agent of the client, or ``""``.
    :param error_code: None if an access token was issued, otherwise the code (``"AADSTS700213"``) or the fault
        (``"HTTP 429"``, ``"Hang"``, ``"CloseConnection"``).
    """

    at: float
    host: str
    tenant_id: str
    client_id: str
    scope: str
    subject: str
    assertion_id: str
    user_agent: str
    error_code: str | None


@dataclass(frozen=True)
class _TokenRequest:
    at: float
    host: str
    tenant: str
    form: dict[str, str] = field(repr=False)
    user_agent: str
    correlation_id: str

    @property
    def scope(self) -> str:
        scopes = self.form.get("scope", "").split()
        return " ".join(scope for scope in scopes if scope not in _OF_OPENID_CONNECT)

    @property
    def assertion(self) -> Assertion:
        return Assertion.parse(self.form.get("client_assertion", ""))

    def details(self) -> dict[str, Any]:
        """Return what refusals quote from it."""
        return {
            **self.assertion.details(),
            "tenant": self.tenant,
            "client_id": self.form.get("client_id", ""),
            "grant_type": self.form.get("grant_type", ""),
            "scope": self.scope,
            "resource": self.scope.removesuffix(_DEFAULT),
        }

    def exchange(self, error_code: str | None) -> Exchange:
        return Exchange(
            at=self.at,
            host=self.host,
            tenant_id=self.tenant,
            client_id=self.form.get("client_id", ""),
            scope=self.scope,
            subject=self.assertion.subject,
            assertion_id=self.assertion.id,
            user_agent=self.user_agent,
            error_code=error_code,
        )


class SimulatedEntra:
    """Exchanges client assertions for access tokens at ``/{tenant}/oauth2/v2.0/token``, or refuses as Entra does.

    Use it in a ``with`` statement. Every method can be called from any thread.

    :param certificates: provides its server certificate. It trusts the same authority when it fetches an issuer's keys.
    :param access_token_lifetime: seconds until an access token expires, rounded to whole seconds.
    :ivar authority_host: ``https://127.0.0.1:<port>``.
    :ivar port: the port.
    """

    def __init__(self, certificates: Certificates, *, access_token_lifetime: float = 3600.0) -> None:
        self._lifetime = round(access_token_lifetime)
        self._key = SigningKey()
        self._issuer_keys = IssuerKeys(certificates.client_context())
        self._lock = threading.Lock()
        self._identities: list[ManagedIdentity] = []
        self._resources: set[str] = set()
        self._exchanges: list[Exchange] = []
        self._faults: deque[Fault] = deque()
        routes = [
            Route("/{tenant}/oauth2/v2.0/token", self._token, methods=["POST"]),
            Route("/common/discovery/instance", self._instance_discovery),
            Route("/{tenant}/v2.0/.well-known/openid-configuration", self._discovery_document),
            Route("/{tenant}/discovery/v2.0/keys", self._key_set),
        ]
        self._server = HttpsServer(Starlette(routes=routes), certificates.own)
        self.authority_host = self._server.url
        self.port = self._server.port

    def __enter__(self) -> "SimulatedEntra":
        self._server.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._server.stop()

    @property
    def exchanges(self) -> list[Exchange]:
        """The token requests so far, including refused ones, in the order of their answers."""
        with self._lock:
            return list(self._exchanges)

    def register(self, identity: ManagedIdentity) -> None:
        """Add a managed identity, and its tenant."""
        with self._lock:
            self._identities.append(identity)
        self._issuer_keys.add_own(entra_issuer(identity.tenant_id), self._key.key_set())

    def register_resource(self, resource: str) -> None:
        """Add a resource to every tenant.

        :param resource: its URI or application id, as in a scope before ``/.default``.
        """
        with self._lock:
            self._resources.add(resource.removesuffix("/").lower())

    def fail_next(self, *faults: Fault) -> None:
        """Make the next token requests fail, with one fault each, in this order."""
        with self._lock:
            self._faults.extend(faults)

    def stop_failing(self) -> None:
        """Drop the faults that have not happened yet."""
        with self._lock:
            self._faults.clear()

    def clear(self) -> None:
        """Forget the exchanges so far, and drop the faults that have not happened yet."""
        with self._lock:
            self._exchanges.clear()
            self._faults.clear()

    async def _token(self, request: Request) -> Response:
        form = await request.form()
        token_request = _TokenRequest(
            at=time.time(),
            host=request.url.hostname or "",
            tenant=request.path_params["tenant"],
            form={name: value for name, value in form.items() if isinstance(value, str)},
            user_agent=request.headers.get("user-agent", ""),
            correlation_id=request.headers.get("client-request-id", ""),
        )
        with self._lock:
            fault = self._faults.popleft() if self._faults else None
        if isinstance(fault, Hang | CloseConnection):
            self._record(token_request, type(fault).__name__)
            return await _break_off(request, after=fault.seconds if isinstance(fault, Hang) else 0.0)
        if isinstance(fault, Status):
            self._record(token_request, f"HTTP {fault.status}")
            return Response(fault.body, fault.status, dict(fault.headers))
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        # In a thread, because it waits for the issuer's keys.
        return await run_in_threadpool(self._answer, token_request, fault)

    def _answer(self, request: _TokenRequest, fault: Fault | None) -> Response:
        try:
            if isinstance(fault, Refuse):
                raise Refusal(fault.code, request.details())
            response = JSONResponse(self._exchange(request), headers={"Cache-Control": "no-store, no-cache"})
        except Refusal as refusal:
            self._record(request, refusal.code)
            return refusal.response(correlation_id=request.correlation_id)
        self._record(request, None)
        return response

    def _record(self, request: _TokenRequest, error_code: str | None) -> None:
        exchange = request.exchange(error_code)
        with self._lock:
            self._exchanges.append(exchange)

    def _exchange(self, request: _TokenRequest) -> dict[str, Any]:
        _check_parameters(request)
        identity = self._identity(request)
        _check_scope(request)
        self._check_credentials(request, identity)
        resource = request.scope.removesuffix(_DEFAULT)
        if not self._is_known_resource(resource):
            raise Refusal("AADSTS500011", request.details())
        return self._token_response(identity, resource, is_by_assertion="client_assertion" in request.form)

    def _identity(self, request: _TokenRequest) -> ManagedIdentity:
        with self._lock:
            tenant = [identity for identity in self._identities if _is_in(identity, request.tenant)]
        if not tenant:
            raise Refusal("AADSTS90002", request.details())
        for identity in tenant:
            if identity.client_id.lower() == request.form["client_id"].lower():
                if identity.disabled:
                    raise Refusal("AADSTS7000112", {**request.details(), "name": identity.name})
                return identity
        raise Refusal("AADSTS700016", request.details())

    def _check_credentials(self, request: _TokenRequest, identity: ManagedIdentity) -> None:
        if "client_assertion" in request.form:
            validate(request.assertion, identity, self._issuer_keys)
        elif "client_secret" not in request.form:
            raise Refusal("AADSTS7000218", request.details())
        elif not identity.has_secret(request.form["client_secret"]):
            raise Refusal("AADSTS7000215", request.details())

    def _is_known_resource(self, resource: str) -> bool:
        with self._lock:
            registered = resource.removesuffix("/").lower() in self._resources
        return registered or is_known_resource(resource)

    def _token_response(self, identity: ManagedIdentity, resource: str, *, is_by_assertion: bool) -> dict[str, Any]:
        now = int(time.time())
        own = identity.access_token_lifetime
        lifetime = self._lifetime if own is None else round(own)
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{identity.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            "appid": identity.client_id,
            "oid": identity.principal_id,
            "sub": identity.principal_id,
            "tid": identity.tenant_id,
            "uti": base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("="),
            "ver": "1.0",
        }
        if resource in _TOKEN_EXCHANGE:
            claims |= {"iss": entra_issuer(identity.tenant_id), "azp": claims.pop("appid"), "ver": "2.0"}
            claims[AUTHENTICATED_BY] = BY_ASSERTION if is_by_assertion else BY_SECRET
        response = {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": self._key.sign(claims, token_type="JWT"),
        }
        if lifetime >= _LONG_LIVED_SECONDS:
            response["refresh_in"] = lifetime // 2
        return response

    # The Azure CLI and MSAL request these before the first exchange.
    async def _discovery_document(self, request: Request) -> Response:
        # The host name that the client used.
        tenant = f"https://{request.url.netloc}/{request.path_params['tenant']}"
        return JSONResponse(
            {
                "issuer": f"{tenant}/v2.0",
                "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
                "token_endpoint": f"{tenant}/oauth2/v2.0/token",
                "jwks_uri": f"{tenant}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "response_types_supported": ["token"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    # For an authority that it does not know, MSAL asks the real Entra whether it is one, and where its metadata is.
    async def _instance_discovery(self, request: Request) -> Response:
        asked_for = urlsplit(request.query_params.get("authorization_endpoint", ""))
        tenant = asked_for.path.strip("/").partition("/")[0]
        # The simulated Entra is the only authority here. MSAL for Python leaves the port out.
        named = asked_for.hostname in AUTHORITY_HOSTS
        authority = f"https://{asked_for.hostname}" if named else self.authority_host
        document = f"{authority}/{tenant}/v2.0/.well-known/openid-configuration"
        return JSONResponse({"tenant_discovery_endpoint": document, "metadata": []})

    async def _key_set(self, request: Request) -> Response:
        return JSONResponse(self._key.key_set())


async def _break_off(request: Request, *, after: float) -> Response:
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_disconnected(request), after)
    request.state.abort()
    await _disconnected(request)
    return Response()  # the client has disconnected


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _is_in(identity: ManagedIdentity, tenant: str) -> bool:
    names = (identity.tenant_id, identity.tenant_domain or "")
    return tenant.lower() in (name.lower() for name in names)


def _check_parameters(request: _TokenRequest) -> None:
    for parameter in ("grant_type", "client_id", "scope"):
        if not request.form.get(parameter):
            raise Refusal("AADSTS900144", {"parameter": parameter})
    if request.form["grant_type"] != "client_credentials":
        raise Refusal("AADSTS70003", request.details())
    if "client_assertion" in request.form and request.form.get("client_assertion_type") != _ASSERTION_TYPE:
        raise Refusal("AADSTS9002313", {})


def _check_scope(request: _TokenRequest) -> None:
    scope = request.scope
    if len(scope.split()) != 1 or scope == _DEFAULT:
        raise Refusal("AADSTS70011", request.details())
    if not scope.endswith(_DEFAULT):
        raise Refusal("AADSTS1002012", request.details())

"""A simulated Kubernetes cluster: the parts that Entra sees. It signs service account tokens and publishes its keys."""

import math
import re
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from airflow_azure_wi.clouds import PUBLIC
from airflow_azure_wi.testing.certificates import Certificates
from airflow_azure_wi.testing.server import HttpsServer
from airflow_azure_wi.testing.signing import SigningKey

# Looks like a name on the internet, because Entra accepts no other issuer; RFC 2606 reserves .example for this. The
# first label has the port of 127.0.0.1 where it is served.
_HOST = "cluster-{port}.oidc.example"
_ISSUER = re.compile(r"https://cluster-([0-9]+)\.oidc\.example(?=/|$)")


def served_at(url: str) -> str:
    """Return the URL on loopback that serves a simulated cluster's issuer. Any other URL is returned unchanged."""
    return _ISSUER.sub(r"https://127.0.0.1:\1", url)


class Cluster:
    """Signs service account tokens; its issuer URL serves the discovery document and the key set.

    Use it in a ``with`` statement.

    :param certificates: provides the issuer's server certificate.
    :ivar issuer: the cluster's issuer URL, without a trailing slash. Only the offline Azure can resolve it.
    :ivar host: the host of the issuer.
    :ivar port: the port of 127.0.0.1 where the issuer is served.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._key = SigningKey()
        routes = [
            Route("/.well-known/openid-configuration", self._discovery_document),
            Route("/openid/v1/jwks", self._key_set),
        ]
        self._server = HttpsServer(Starlette(routes=routes), certificates.own)
        self.port = self._server.port
        self.host = _HOST.format(port=self.port)
        self.issuer = f"https://{self.host}"

    def __enter__(self) -> "Cluster":
        self._server.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self._server.stop()

    def service_account_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audience: str | Sequence[str] = PUBLIC.token_exchange_audience,
        lifetime: float = 3600.0,
        **overrides: Any,
    ) -> str:
        """Return a new federated token of a service account, in the shape that Kubernetes signs.

        :param namespace: the namespace of the service account.
        :param service_account: its name.
        :param audience: who the token is for.
        :param lifetime: seconds until it expires; negative for an expired token.
        :param overrides: claims to replace (times in seconds since the epoch, UTC), or to leave out if None.
        """
        now = time.time()
        claims = {
            "aud": [audience] if isinstance(audience, str) else list(audience),
            "exp": math.ceil(now + lifetime),
            "iat": int(min(now, now + lifetime)),
            "iss": self.issuer,
            "jti": str(uuid4()),
            "kubernetes.io": self._kubernetes_claim(namespace, service_account),
            "nbf": int(min(now, now + lifetime)),
            "sub": f"system:serviceaccount:{namespace}:{service_account}",
            **overrides,
        }
        return self._key.sign({name: value for name, value in claims.items() if value is not None})

    def _kubernetes_claim(self, namespace: str, service_account: str) -> dict[str, Any]:
        def kubernetes_object(kind: str, name: str) -> dict[str, str]:
            return {"name": name, "uid": str(uuid5(NAMESPACE_URL, f"{self.issuer}/{namespace}/{kind}/{name}"))}

        return {
            "namespace": namespace,
            "node": kubernetes_object("node", "node-0"),
            "pod": kubernetes_object("pod", f"{service_account}-0"),
            "serviceaccount": kubernetes_object("serviceaccount", service_account),
        }

    # Both answer on the event loop: waiting for a thread would queue them behind the exchanges that wait for them.
    async def _discovery_document(self, request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/openid/v1/jwks",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _key_set(self, request: Request) -> Response:
        return JSONResponse(self._key.key_set(), media_type="application/jwk-set+json")

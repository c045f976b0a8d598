"""RSA keys that sign JSON Web Tokens, and the key sets that their owners publish."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


class SigningKey:
    """A new RSA key of 2048 bits, with a random key id."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = uuid4().hex

    def sign(self, claims: Mapping[str, Any], *, token_type: str | None = None) -> str:
        """Return a JSON Web Token (RS256) with these claims.

        :param token_type: the ``typ`` header; Kubernetes leaves it out, Entra says ``JWT``.
        """
        return jwt.encode(dict(claims), self._key, algorithm="RS256", headers={"kid": self.key_id, "typ": token_type})

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set."""
        key = json.loads(RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**key, "kid": self.key_id, "use": "sig", "alg": "RS256"}]}

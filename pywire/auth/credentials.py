"""With what pywire logs in to a host in a client's name.

Pure values. Their representation never shows what they hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pywire.auth.secrets import SecretSlot


class Trust:
    """Nothing is known that could prove the user; hosts must trust pywire or its certificate."""

    __slots__ = ()

    def wipe(self) -> None:
        """Nothing to forget."""

    def __repr__(self) -> str:
        return "Trust()"


TRUST = Trust()


class Password:
    """A password in clear: a service user's, or one a client sent by `auth = "password"`."""

    __slots__ = ("derived", "secret")

    def __init__(self, secret: SecretSlot) -> None:
        self.secret = secret
        self.derived: ScramKeys | None = None  # of the last verifier met; computing them is slow

    def wipe(self) -> None:
        """Forget the password."""
        self.secret.wipe()
        if self.derived is not None:
            self.derived.wipe()

    def __repr__(self) -> str:
        return "Password(…)"


class ScramKeys:
    """ClientKey and ServerKey of one SCRAM verifier: enough to log in wherever it is in force.

    `salt` and `iterations` name the verifier; a host that uses others has another password.
    """

    __slots__ = ("client_key", "iterations", "salt", "server_key")

    def __init__(
        self, client_key: SecretSlot, server_key: bytes, salt: bytes, iterations: int
    ) -> None:
        self.client_key = client_key
        self.server_key = server_key
        self.salt = salt
        self.iterations = iterations

    def wipe(self) -> None:
        """Forget the key."""
        self.client_key.wipe()

    def __repr__(self) -> str:
        return "ScramKeys(…)"


class Md5Verifier:
    """The hex digest of an md5 verifier, which is all that md5 authentication needs."""

    __slots__ = ("secret",)

    def __init__(self, secret: SecretSlot) -> None:
        self.secret = secret

    def wipe(self) -> None:
        """Forget the digest."""
        self.secret.wipe()

    def __repr__(self) -> str:
        return "Md5Verifier(…)"


Credentials = Trust | Password | ScramKeys | Md5Verifier

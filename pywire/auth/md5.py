"""md5 password authentication, both sides; the verifier's digest is all either needs.

Pure. MD5 here is PostgreSQL's protocol, not a choice.
"""

import hashlib
import hmac

SALT_BYTES = 4


def read_verifier(text: str) -> str | None:
    """Return the 32 hex digits of an md5 verifier; None when it is not one."""
    digest = text[3:]
    if not text.startswith("md5") or len(digest) != 32:
        return None
    return digest if all(c in "0123456789abcdef" for c in digest) else None


def digest_password(password: bytes, user: str) -> str:
    """Return the hex digits that make up the verifier of a password."""
    name = user.encode("utf-8", "surrogateescape")
    return hashlib.md5(password + name, usedforsecurity=False).hexdigest()


def response(digest: bytes | memoryview, salt: bytes) -> bytes:
    """Answer AuthenticationMD5Password, closing NUL included."""
    salted = hashlib.md5(bytes(digest) + salt, usedforsecurity=False).hexdigest()
    return b"md5" + salted.encode("ascii") + b"\0"


def response_fits(answer: bytes, digest: str, salt: bytes) -> bool:
    """Whether a client's PasswordMessage body is right."""
    return hmac.compare_digest(answer, response(digest.encode("ascii"), salt))

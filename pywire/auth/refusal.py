"""Login failures in PostgreSQL's own words.

Pure. Clients and their tests match on these texts and codes, so they are PostgreSQL's to the letter.
"""

from pywire.errors import LoginError, PasswordRefused, response_fields

INVALID_AUTHORIZATION = "28000"
PROTOCOL_VIOLATION = "08P01"
FEATURE_NOT_SUPPORTED = "0A000"
CANNOT_CONNECT_NOW = "57P03"
INVALID_PASSWORD_TEXT = "28P01"


class Refusal(LoginError):
    """A login ends here; code and message are chosen to be PostgreSQL's for the same cause."""

    def __init__(self, code: str, message: str, detail: str = "", *, hint: str = "") -> None:
        super().__init__(detail, hint=hint)
        self.code = code
        self.message = message

    def response_fields(self, severity: str = "FATAL") -> list[tuple[str, str]]:
        """The ErrorResponse's fields, with this refusal's own code and message."""
        return response_fields(
            severity, self.code, self.message, detail=self.detail, hint=self.hint
        )


def password_failed(user: str) -> PasswordRefused:
    """Refuse, without saying whether the user exists."""
    return PasswordRefused(user=user)


def malformed_scram(detail: str) -> Refusal:
    """Refuse a SCRAM message that does not keep to RFC 5802."""
    return Refusal(PROTOCOL_VIOLATION, "malformed SCRAM message", detail)


def not_permitted(user: str) -> Refusal:
    """Refuse a role without the LOGIN attribute."""
    return Refusal(INVALID_AUTHORIZATION, f'role "{user}" is not permitted to log in')


def unknown_role(user: str) -> Refusal:
    """Refuse a role that does not exist; only where no password is asked for."""
    return Refusal(INVALID_AUTHORIZATION, f'role "{user}" does not exist')


def method_failed(method: str, user: str) -> Refusal:
    """Refuse after `trust`, `cert` or `peer`, as PostgreSQL words it per method."""
    return Refusal(INVALID_AUTHORIZATION, f'{method} authentication failed for user "{user}"')

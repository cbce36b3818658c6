"""md5 authentication, both sides."""

from pywire.auth import md5


def test_the_verifier_is_postgresqls():

    assert md5.read_verifier("md5" + md5.digest_password(b"secret", "alice")) is not None
    assert md5.digest_password(b"secret", "alice") == "4a0a68b43b6cd5cf266fa02f196e2371"


def test_the_digest_alone_answers_a_challenge():
    digest = md5.digest_password(b"secret", "alice")
    answer = md5.response(digest.encode(), b"salt")
    assert answer.startswith(b"md5")
    assert answer.endswith(b"\0")
    assert md5.response_fits(answer, digest, b"salt")
    assert not md5.response_fits(answer, digest, b"tlas")
    assert not md5.response_fits(b"", digest, b"salt")


def test_what_is_not_a_verifier_is_not_read_as_one():
    for text in ("", "md5", "md5" + "g" * 32, "SCRAM-SHA-256$", "0" * 35, "md5" + "A" * 32):
        assert md5.read_verifier(text) is None

"""SCRAM against RFC 7677's example, against itself, and against what clients may do wrong."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pywire.auth import refusal, scram
from pywire.auth.saslprep import saslprep
from pywire.errors import BackendViolation

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
RFC_VERIFIER = scram.Verifier.build(b"pencil", SALT, 4096)
# No password of PostgreSQL has a NUL in it; HMAC would not tell trailing ones apart.
PASSWORDS = st.binary(min_size=1, max_size=20).filter(lambda value: b"\0" not in value)
NONCE = b"\x05" * 18


def server(verifier=RFC_VERIFIER, *, doomed=False, end_point=None, nonce=NONCE):
    return scram.ServerExchange(verifier, doomed=doomed, nonce=nonce, end_point=end_point)


def keys_of(password, verifier):
    client_key, server_key = scram.password_keys(password, verifier.salt, verifier.iterations)
    return client_key, server_key, verifier.salt, verifier.iterations


def run(exchange, password, verifier=RFC_VERIFIER):
    """Let our own client log in; return the client and what the server said last."""
    client = scram.ClientExchange(b"\x07" * 18)
    first = exchange.begin(scram.SCRAM, client.first())
    return client, exchange.finish(client.final(first, keys=keys_of(password, verifier)))


def test_the_server_fulfils_the_example_of_rfc_7677():
    exchange = server()
    exchange._nonce = b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    first = exchange.begin(scram.SCRAM, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
    assert first == (
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    )
    final = exchange.finish(
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert final == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_the_client_key_is_recovered_from_the_proof():
    exchange = server()
    client, final = run(exchange, b"pencil")
    client.check(final)
    assert exchange.client_key == scram.password_keys(b"pencil", SALT, 4096)[0]


def test_a_wrong_password_is_refused_and_leaves_no_key():
    exchange = server()
    assert run(exchange, b"pen")[1] is None
    assert exchange.client_key == b""


def test_a_doomed_exchange_refuses_even_the_right_password():
    exchange = server(doomed=True)
    assert run(exchange, b"pencil")[1] is None


def test_mock_verifiers_are_the_same_for_a_user_and_fulfilled_by_nobody():
    one, same = (scram.Verifier.mock("x", b"secret") for _ in range(2))
    assert one == same
    assert one != scram.Verifier.mock("y", b"secret")
    assert len(one.salt) == 16
    assert run(server(one), b"", one)[1] is None


@settings(max_examples=25, deadline=None)
@given(
    PASSWORDS,
    PASSWORDS,
    st.binary(min_size=18, max_size=18),
)
def test_both_sides_agree_exactly_when_the_passwords_do(right, tried, nonce):
    verifier = scram.Verifier.build(right, SALT, 2)
    exchange = server(verifier, nonce=nonce)
    client, final = run(exchange, tried, verifier)
    if saslprep(right) == saslprep(tried):
        client.check(final)
    else:
        assert final is None


@given(st.binary(min_size=1, max_size=32), st.integers(1, 10**6))
def test_verifiers_make_the_round_trip_through_their_text(salt, iterations):
    verifier = scram.Verifier(iterations, salt, b"s" * 32, b"t" * 32)
    assert scram.Verifier.read(str(verifier)) == verifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        "md5" + "0" * 32,
        "SCRAM-SHA-256$x:AA==$AA==:AA==",
        "SCRAM-SHA-256$4096:AA==$AA==:AA==",
        "SCRAM-SHA-256",
    ],
)
def test_what_is_not_a_verifier_is_not_read_as_one(text):
    assert scram.Verifier.read(text) is None


def test_channel_binding_is_checked_against_our_certificate():
    exchange = server(end_point=b"certificate hash")
    nonce = "fyko+d2lbbFgONRv9qkxdawL"
    first = exchange.begin(scram.SCRAM_PLUS, b"p=tls-server-end-point,,n=,r=" + nonce.encode())
    full_nonce = first.split(b",")[0][2:]
    header = base64.b64encode(b"p=tls-server-end-point,,certificate hash")
    without = b"c=" + header + b",r=" + full_nonce
    import hashlib
    import hmac

    signed = b"n=,r=" + nonce.encode() + b"," + first + b"," + without
    client_key, _ = scram.password_keys(b"pencil", SALT, 4096)
    signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    assert exchange.finish(without + b",p=" + base64.b64encode(proof)) is not None


def test_a_forged_channel_binding_is_refused():
    exchange = server(end_point=b"certificate hash")
    first = exchange.begin(scram.SCRAM_PLUS, b"p=tls-server-end-point,,n=,r=abc")
    nonce = first.split(b",")[0][2:]
    other = base64.b64encode(b"p=tls-server-end-point,,another hash")
    with pytest.raises(refusal.Refusal) as caught:
        exchange.finish(b"c=" + other + b",r=" + nonce + b",p=" + base64.b64encode(bytes(32)))
    assert caught.value.message == "SCRAM channel binding check failed"
    assert caught.value.code == "28000"


@pytest.mark.parametrize(
    ("mechanism", "first", "end_point", "code", "text"),
    [
        (scram.SCRAM_PLUS, b"n,,n=,r=a", None, "08P01", "invalid SASL authentication mechanism"),
        ("PLAIN", b"n,,n=,r=a", None, "08P01", "invalid SASL authentication mechanism"),
        (scram.SCRAM_PLUS, b"n,,n=,r=a", b"h", "08P01", "malformed SCRAM message"),
        (scram.SCRAM_PLUS, b"y,,n=,r=a", b"h", "08P01", "malformed SCRAM message"),
        (scram.SCRAM, b"y,,n=,r=a", b"h", "28000", "SCRAM channel binding negotiation error"),
        (scram.SCRAM, b"p=tls-server-end-point,,n=,r=a", b"h", "08P01", "malformed SCRAM message"),
        (
            scram.SCRAM_PLUS,
            b"p=tls-unique,,n=,r=a",
            b"h",
            "08P01",
            'unsupported SCRAM channel-binding type "tls-unique"',
        ),
        (scram.SCRAM, b"n,a=me,n=,r=a", None, "0A000", "authorization identity"),
        (scram.SCRAM, b"n,,m=x,n=,r=a", None, "0A000", "unsupported SCRAM extension"),
        (scram.SCRAM, b"x,,n=,r=a", None, "08P01", "malformed SCRAM message"),
        (scram.SCRAM, b"n,,r=a", None, "08P01", "malformed SCRAM message"),
        (scram.SCRAM, b"n,,n=,r=\x07", None, "08P01", "non-printable characters in SCRAM nonce"),
        (scram.SCRAM, b"", None, "08P01", "malformed SCRAM message"),
        (scram.SCRAM, b"n,,n=,r=a\0", None, "08P01", "malformed SCRAM message"),
    ],
)
def test_first_messages_postgresql_would_refuse_are_refused(
    mechanism, first, end_point, code, text
):
    with pytest.raises(refusal.Refusal) as caught:
        server(end_point=end_point).begin(mechanism, first)
    assert caught.value.code == code
    assert text in caught.value.message


@pytest.mark.parametrize(
    ("final", "text"),
    [
        (b"c=biws,r=NONCE,p=AAAA", "malformed SCRAM message"),
        (b"c=biws,r=NONCE", "malformed SCRAM message"),
        (b"r=NONCE,p=" + base64.b64encode(bytes(32)), "malformed SCRAM message"),
        (b"c=biws,r=other,p=" + base64.b64encode(bytes(32)), "invalid SCRAM response"),
        (
            b"c=eSws,r=NONCE,p=" + base64.b64encode(bytes(32)),
            "unexpected SCRAM channel-binding attribute",
        ),
        (b"c=biws,r=NONCE,p=!!", "malformed SCRAM message"),
    ],
)
def test_final_messages_postgresql_would_refuse_are_refused(final, text):
    exchange = server()
    nonce = exchange.begin(scram.SCRAM, b"n,,n=,r=a").split(b",")[0][2:]
    with pytest.raises(refusal.Refusal) as caught:
        exchange.finish(final.replace(b"NONCE", nonce))
    assert text in caught.value.message


def test_y_is_right_when_channel_binding_was_not_offered():
    exchange = server()
    first = exchange.begin(scram.SCRAM, b"y,,n=,r=a")
    nonce = first.split(b",")[0][2:]
    assert exchange.finish(b"c=eSws,r=" + nonce + b",p=" + base64.b64encode(bytes(32))) is None


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"r=x,s=AA==,i=1",
        b"r=NONCE,s=AA==,i=1",
        b"r=NONCEx,s=AA==,i=0",
        b"r=NONCEx,s=!,i=1",
        b"r=NONCEx,s=AA==,i=99999999999",
    ],
)
def test_hosts_that_do_not_speak_scram_are_found_out(first):
    client = scram.ClientExchange(NONCE)
    own = client.first().partition(b"r=")[2]
    with pytest.raises(BackendViolation):
        client.final(first.replace(b"NONCE", own), keys=(bytes(32), bytes(32), b"\0", 1))


def test_keys_of_another_verifier_are_not_tried():
    client = scram.ClientExchange(NONCE)
    own = client.first().partition(b"r=")[2]
    with pytest.raises(scram.KeysOutdated):
        client.final(b"r=" + own + b"x,s=AA==,i=4096", keys=(bytes(32), bytes(32), b"\1", 4096))


def test_a_host_that_does_not_know_the_verifier_is_found_out():
    client, _ = run(server(), b"pencil")
    for final in (b"v=" + base64.b64encode(bytes(32)), b"e=other-error", b""):
        with pytest.raises(BackendViolation):
            client.check(final)


def test_nothing_of_it_shows_in_representations():
    exchange = server()
    client, _ = run(exchange, b"pencil")
    for thing in (exchange, client, RFC_VERIFIER):
        assert "b'" not in repr(thing)

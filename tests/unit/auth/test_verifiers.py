"""Verifiers are kept for a while, and never too many."""

from pywire.auth import verifiers
from pywire.auth.verifiers import RoleSecret, VerifierCache

KNOWN = RoleSecret(exists=True, verifier="hidden")


def test_a_verifier_is_kept_for_its_time():
    cache = VerifierCache(60)
    cache.put("main", "ann", KNOWN, now=100)
    assert cache.get("main", "ann", now=159) is KNOWN
    assert cache.get("other", "ann", now=159) is None
    assert cache.get("main", "ann", now=160) is None


def test_zero_seconds_keep_nothing():
    cache = VerifierCache(0)
    cache.put("main", "ann", KNOWN, now=100)
    assert cache.get("main", "ann", now=100) is None


def test_doubt_drops_only_what_is_not_brand_new():
    cache = VerifierCache(60)
    cache.put("main", "ann", KNOWN, now=100)
    assert not cache.forget("main", "ann", now=100.5, younger_than=1)
    assert cache.forget("main", "ann", now=101, younger_than=1)
    assert cache.get("main", "ann", now=101) is None


def test_the_oldest_makes_room(monkeypatch):
    monkeypatch.setattr(verifiers, "USERS_MAX", 3)
    cache = VerifierCache(60)
    for number in range(5):
        cache.put("main", str(number), KNOWN, now=number)
    assert cache.get("main", "1", now=5) is None
    assert cache.get("main", "2", now=5) is KNOWN


def test_a_verifier_does_not_show():
    assert "hidden" not in repr(KNOWN)

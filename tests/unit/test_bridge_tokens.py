"""Session tokens: what is signed, what is taken, and what is refused with which close code."""

import base64
import hmac
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from sonic_voice.bridge.access import Access
from sonic_voice.bridge.closing import BridgeRefusal, Close
from sonic_voice.bridge.keys import KeyCache, KeySet, PublicKey, read_keys
from sonic_voice.bridge.tokens import (
    LONGEST_S,
    TOKEN_CHARACTERS,
    TokenClaims,
    issue_token,
    read_header,
    read_token,
)
from sonic_voice.errors import ConfigError

SECRET = b"thirty-two bytes are the least, so: more"
NOW_S = 1_000_000.0
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ISSUER = "https://sign-in.example/pool"


def jwk(key: Any, **fields: Any) -> dict[str, Any]:
    """The JWK of `key`, public or private as it is."""
    is_ec = isinstance(key, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey))
    text = (ECAlgorithm if is_ec else RSAAlgorithm).to_jwk(key)
    return {**json.loads(text), **fields}


def key_set(*keys: dict[str, Any]) -> KeySet:
    return read_keys(json.dumps({"keys": keys}).encode(), named="the set")


def pem(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


KEYS = key_set(jwk(RSA.public_key(), kid="r"), jwk(EC.public_key(), kid="e"))


def signed(key: Any = SECRET, algorithm: str = "HS256", kid: str = "", **claims: Any) -> str:
    """A token that another backend issued. A claim of None is left out."""
    claims = {"sub": "alice", "exp": NOW_S + 60, **claims}
    said = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


def refusal(token: str, now_s: float = NOW_S, key: bytes | PublicKey = SECRET, **is_: str) -> Close:
    with pytest.raises(BridgeRefusal) as refused:
        read_token(key, token, now_s=now_s, **is_)
    return refused.value.close


async def close_of(token: str, access: Access, now_s: float = NOW_S) -> Close | None:
    """The close code that `access` refuses `token` with; None: it is taken."""
    try:
        await access.authenticate(token, now_s=now_s)
    except BridgeRefusal as refused:
        return refused.close
    return None


# -- tokens of our own ---------------------------------------------------------------------------


def test_a_token_says_who_and_until_when_and_which_voices() -> None:
    token = issue_token(SECRET, "alice", now_s=100, lifetime_s=60, voices=["ambre"])
    assert read_token(SECRET, token, now_s=159) == TokenClaims("alice", 160, ("ambre",))
    assert refusal(token, 160) is Close.EXPIRED


@given(st.floats(1, 4e9), st.floats(0.01, LONGEST_S))
def test_every_token_that_is_issued_is_taken_at_once(now_s: float, lifetime_s: float) -> None:
    token = issue_token(SECRET, "alice", now_s=now_s, lifetime_s=lifetime_s)
    assert read_token(SECRET, token, now_s=now_s).subject == "alice"


@given(st.data())
def test_a_token_with_one_other_character_is_forged(data: st.DataObject) -> None:
    token = issue_token(SECRET, "alice", now_s=100)
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(exclude_characters=token[place]))
    assert refusal(token[:place] + character + token[place + 1 :], 0) is Close.FORGED


@given(st.text())
def test_any_text_is_no_token(text: str) -> None:
    assert refusal(text) is Close.FORGED
    with pytest.raises(BridgeRefusal):
        read_header(text)


@given(st.recursive(st.none() | st.booleans() | st.text() | st.floats(), st.lists, max_leaves=5))
def test_any_header_is_refused_or_read(header: Any) -> None:
    for text in (header, {"alg": header}, {"alg": "HS256", "kid": header, "crit": header}):
        first = base64.urlsafe_b64encode(json.dumps(text).encode()).rstrip(b"=").decode()
        with pytest.raises(BridgeRefusal):
            read_token(SECRET, f"{first}.e30.AAAA", now_s=0)


@pytest.mark.parametrize(
    "claims",
    [
        *(b"[]", b"{}", b"\xff", b"null", b"[" * 1200, b'{"sub": "a", "exp": 1e999}'),
        *(b'{"sub": "a", "exp": "x"}', b'{"sub": "a", "exp": NaN}', b'{"sub": "a", "exp": true}'),
        *(b'{"sub": "a", "exp": 1%s}' % (b"0" * 400), b'{"sub": "a", "exp": 1%s}' % (b"0" * 2000)),
        *(b'{"sub": 1, "exp": 1000060}', b'{"sub": "", "exp": 1000060}', b'{"exp": 1000060}'),
        b'{"sub": "%s", "exp": 1000060}' % (b"a" * 200),
        b'{"sub": "a", "exp": 1000060, "voices": "ambre"}',
        b'{"sub": "a", "exp": 1000060, "voices": [1]}',
        b'{"sub": "a", "exp": 1000060, "iat": "x"}',
        b'{"sub": "a", "exp": 1000060, "nbf": null}',
        b'{"sub": "a", "exp": 1000060, "jti": 1}',
    ],
)
def test_claims_that_are_signed_and_senseless_are_forged(claims: bytes) -> None:
    assert refusal(jwt.PyJWS().encode(claims, SECRET, "HS256")) is Close.FORGED


def test_weak_secrets_long_lives_and_nobody_are_not_signed_for() -> None:
    for secret, subject, lifetime_s in (
        (b"short", "alice", 60),
        (pem(RSA), "alice", 60),
        (SECRET, "", 60),
        (SECRET, "a" * 200, 60),
        (SECRET, "alice", 4000),
        (SECRET, "alice", float("nan")),
    ):
        with pytest.raises(ConfigError):
            issue_token(secret, subject, now_s=0, lifetime_s=lifetime_s)


# -- tokens of another backend -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(SECRET, "HS256", ""), (RSA, "RS256", "r"), (EC, "ES256", "e")]
)
async def test_each_algorithm_is_taken_with_the_key_of_its_kind(
    key: Any, algorithm: str, kid: str
) -> None:
    access = Access(secret=SECRET, keys=KEYS)
    claims = await access.authenticate(signed(key, algorithm, kid, voices=["ambre"]), now_s=NOW_S)
    assert claims == TokenClaims("alice", NOW_S + 60, ("ambre",))
    assert await close_of(signed(key, algorithm, kid), access) is None
    assert await close_of(signed(key, algorithm, kid)[:-1], access) is Close.FORGED
    other = {"HS256": SECRET[::-1], "RS256": OTHER_RSA, "ES256": ec.generate_private_key(EC.curve)}
    assert await close_of(signed(other[algorithm], algorithm, kid), access) is Close.FORGED


def with_header(token: str, **header: Any) -> str:
    """`token` with another header, its signature left as it is."""
    text = json.dumps(header).encode()
    return ".".join([base64.urlsafe_b64encode(text).rstrip(b"=").decode(), *token.split(".")[1:]])


def hmac_with(key: bytes) -> str:
    """A token whose HMAC key is a text that is public. `jwt` refuses to make one."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"r"}').rstrip(b"=")
    claims = base64.urlsafe_b64encode(
        json.dumps({"sub": "alice", "exp": NOW_S + 60}).encode()
    ).rstrip(b"=")
    digest = hmac.digest(key, head + b"." + claims, "sha256")
    signature = base64.urlsafe_b64encode(digest).rstrip(b"=")
    return (head + b"." + claims + b"." + signature).decode()


CONFUSED: dict[str, Callable[[], str]] = {
    "none": lambda: signed("", "none"),
    "none, in capitals": lambda: with_header(signed("", "none"), alg="NONE"),
    "another HMAC": lambda: signed(SECRET * 2, "HS512"),
    "another RSA algorithm": lambda: signed(RSA, "RS512", "r"),
    "RSA-PSS": lambda: signed(RSA, "PS256", "r"),
    "another curve": lambda: signed(ec.generate_private_key(ec.SECP384R1()), "ES384", "e"),
    "Ed25519": lambda: signed(ed25519.Ed25519PrivateKey.generate(), "EdDSA", "e"),
    "HMAC with the public key as secret": lambda: hmac_with(pem(RSA)),
    "HMAC with the JWK as secret": lambda: hmac_with(json.dumps(jwk(RSA.public_key())).encode()),
    "RS256 that says HS256": lambda: with_header(signed(RSA, "RS256", "r"), alg="HS256"),
    "HS256 that says RS256": lambda: with_header(signed(), alg="RS256", kid="r"),
    "HS256 that says ES256": lambda: with_header(signed(), alg="ES256", kid="e"),
    "ES256 that says RS256": lambda: with_header(signed(EC, "ES256"), alg="RS256", kid="r"),
    "RS256 with the EC key's id": lambda: signed(RSA, "RS256", "e"),
    "RS256 with an unknown id": lambda: signed(RSA, "RS256", "x"),
    "an unknown extension": lambda: with_header(signed(), alg="HS256", crit=["x"], x=1),
    "a detached payload": lambda: with_header(signed(), alg="HS256", crit=["b64"], b64=False),
    "a key that comes along": lambda: with_header(
        signed(OTHER_RSA, "RS256"), alg="RS256", jwk=jwk(OTHER_RSA.public_key())
    ),
    "no algorithm": lambda: with_header(signed(), typ="JWT"),
    "an id that is no text": lambda: with_header(signed(RSA, "RS256"), alg="RS256", kid=1),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("kind", CONFUSED)
async def test_no_token_chooses_its_algorithm_or_key(kind: str) -> None:
    both = Access(secret=SECRET, keys=KEYS)
    for access in (both, Access(secret=SECRET), Access(keys=KEYS), Access(keys=KEYS, issuer="i")):
        assert await close_of(CONFUSED[kind](), access) is Close.FORGED


def test_a_key_verifies_one_algorithm() -> None:
    rsa_key, ec_key = KEYS.keys
    secret = SECRET * 2  # long enough for each HMAC
    for key, token in (
        (secret, signed(secret, "HS512")),
        (secret, signed(secret, "HS384")),
        (secret, hmac_with(pem(RSA))),
        (rsa_key, signed(RSA, "RS512")),
        (rsa_key, signed(RSA, "PS256")),
        (rsa_key, signed(EC, "ES256")),
        (rsa_key, hmac_with(pem(RSA))),
        (rsa_key, signed("", "none")),
        (ec_key, signed(RSA, "RS256")),
    ):
        assert refusal(token, key=key) is Close.FORGED


async def test_a_token_without_its_kind_of_key_here_is_forged() -> None:
    assert await close_of(signed(RSA, "RS256", "r"), Access(secret=SECRET)) is Close.FORGED
    assert await close_of(signed(), Access(keys=KEYS)) is Close.FORGED
    assert await close_of("", Access(keys=KEYS)) is Close.NO_TOKEN


@pytest.mark.parametrize(
    ("claims", "close"),
    [
        ({}, None),
        ({"exp": NOW_S + 0.5}, None),
        ({"exp": NOW_S}, Close.EXPIRED),
        ({"exp": NOW_S - 1e6, "iat": NOW_S - 1e6 - 60}, Close.EXPIRED),
        ({"exp": None}, Close.FORGED),
        ({"sub": None}, Close.FORGED),
        ({"nbf": NOW_S}, None),
        ({"nbf": NOW_S + 20}, None),
        ({"nbf": NOW_S + 40}, Close.FORGED),
        ({"iat": NOW_S + 40}, Close.FORGED),
        ({"exp": NOW_S + 3600}, None),
        ({"exp": NOW_S + 3600, "iat": NOW_S}, None),
        ({"exp": NOW_S + 3700}, Close.FORGED),
        ({"exp": NOW_S + 60, "iat": NOW_S - 4000}, Close.FORGED),
        ({"aud": "app"}, Close.FORGED),
        ({"iss": ISSUER}, None),
        ({"email": "a@example.org", "cognito:groups": ["a"], "auth_time": 1, "jti": "x"}, None),
    ],
)
async def test_times_and_lifetimes_are_checked(claims: dict[str, Any], close: Close | None) -> None:
    assert await close_of(signed(**claims), Access(secret=SECRET)) is close


@pytest.mark.parametrize(
    ("claims", "close"),
    [
        ({"iss": ISSUER, "aud": "app"}, None),
        ({"iss": ISSUER, "aud": ["other", "app"]}, None),
        ({"iss": ISSUER, "client_id": "app", "token_use": "access"}, None),
        ({"iss": ISSUER, "aud": "other", "client_id": "app"}, Close.FORGED),
        ({"iss": ISSUER, "client_id": "other"}, Close.FORGED),
        ({"iss": ISSUER, "aud": []}, Close.FORGED),
        ({"iss": ISSUER, "aud": "application"}, Close.FORGED),
        ({"iss": ISSUER, "aud": {"app": 1}}, Close.FORGED),
        ({"iss": ISSUER}, Close.FORGED),
        ({"iss": f"{ISSUER}/", "aud": "app"}, Close.FORGED),
        ({"aud": "app"}, Close.FORGED),
        ({"iss": ISSUER, "aud": "other", "exp": NOW_S - 1}, Close.FORGED),
        ({"iss": ISSUER, "aud": "app", "exp": NOW_S - 1}, Close.EXPIRED),
    ],
)
async def test_issuer_and_audience_are_checked(claims: dict[str, Any], close: Close | None) -> None:
    access = Access(keys=KEYS, issuer=ISSUER, audience="app")
    assert await close_of(signed(EC, "ES256", "e", **claims), access) is close


def test_a_token_that_is_too_long_is_not_looked_at() -> None:
    token = signed(more="x" * TOKEN_CHARACTERS)
    assert refusal(token) is Close.FORGED
    with pytest.raises(BridgeRefusal):
        read_header(token)


async def test_why_a_token_was_refused_is_known_without_the_token() -> None:
    """The operator's log names the cause; see `Bridge`."""
    token = signed(aud="shop")
    with pytest.raises(BridgeRefusal) as refused:
        await Access(secret=SECRET, audience="voice").authenticate(token, now_s=NOW_S)
    why = str(refused.value.__cause__)
    assert "another audience" in why
    assert token not in why
    assert "shop" not in why


def test_the_secret_is_not_shown() -> None:
    assert SECRET.decode() not in repr(Access(secret=SECRET))


# -- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
async def test_a_pem_file_verifies_tokens_whatever_key_id_they_name(key: Any) -> None:
    algorithm = "RS256" if key is RSA else "ES256"
    access = Access(keys=read_keys(pem(key), named="key.pem"))
    for kid in ("", "any"):
        assert await close_of(signed(key, algorithm, kid), access) is None


def test_a_token_without_a_key_id_needs_a_set_of_one_key_of_its_kind() -> None:
    assert KEYS.get("RS256", "") == KEYS.keys[0]
    two = key_set(jwk(RSA.public_key(), kid="1"), jwk(OTHER_RSA.public_key(), kid="2"))
    assert two.get("RS256", "") is None
    assert two.get("RS256", "2") == two.keys[1]


def private_pem(key: Any) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


UNUSABLE: dict[str, bytes] = {
    "no text": b"\xff\xfe",
    "nothing": b"",
    "no set": b"[]",
    "no array": b'{"keys": 1}',
    "an empty set": b'{"keys": []}',
    "no key": b'{"keys": [1, null, {}, {"kty": ["RSA"]}, {"kty": "RSA", "n": 1, "e": "AQAB"}]}',
    "deep": b"[" * 100_000,
    "a private PEM key": private_pem(RSA),
    "a weak PEM key": pem(rsa.generate_private_key(65537, 1024)),
    "an Ed25519 PEM key": pem(ed25519.Ed25519PrivateKey.generate()),
    "a broken PEM key": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    **{
        name: json.dumps({"keys": [{"kid": "k", **key}]}).encode()
        for name, key in {
            "a secret": {"kty": "oct", "k": "A" * 43, "alg": "HS256"},
            "a private key": jwk(RSA),
            "a private EC key": jwk(EC),
            "a weak key": jwk(rsa.generate_private_key(65537, 1024).public_key()),
            "another curve": jwk(ec.generate_private_key(ec.SECP384R1()).public_key()),
            "a key for encryption": jwk(RSA.public_key(), use="enc"),
            "a key of another algorithm": jwk(RSA.public_key(), alg="RS512"),
            "a key of another kind": jwk(RSA.public_key(), alg="ES256"),
            "an id that is no text": jwk(RSA.public_key(), kid=1),
            "a point off the curve": jwk(EC.public_key(), x="A" * 43),
        }.items()
    },
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_document_without_a_usable_key_is_refused_in_words(kind: str) -> None:
    with pytest.raises(ConfigError, match="named thus") as wrong:
        read_keys(UNUSABLE[kind], named="named thus")
    assert wrong.value.hint


def test_unusable_members_of_a_set_are_skipped() -> None:
    secret = {"kty": "oct", "k": "A" * 43, "kid": "r"}
    keys = key_set(secret, {"kty": "?"}, jwk(RSA.public_key(), kid="r", alg="RS256", use="sig"))
    assert [(key.id, key.algorithm) for key in keys.keys] == [("r", "RS256")]


# -- when keys are fetched -----------------------------------------------------------------------


def test_an_unknown_key_is_fetched_at_once_and_then_only_after_the_cooldown() -> None:
    cache = KeyCache(cooldown_s=30)
    assert cache.is_due("RS256", "r", 0)
    cache.store(KEYS, 0)
    assert not cache.is_due("RS256", "r", 299)
    assert [cache.is_due("RS256", "new", at) for at in (0, 29, 30)] == [False, False, True]
    assert cache.get("RS256", "new", 30) is None
    assert not cache.failed


def test_a_removed_key_is_refused_after_five_minutes_and_an_hour_if_nothing_is_fetched() -> None:
    cache = KeyCache(cooldown_s=30)
    cache.store(KEYS, 0)
    assert cache.is_due("RS256", "r", 301)
    cache.fail(301)
    assert cache.failed
    assert [cache.is_due("RS256", "r", at) for at in (303, 306)] == [False, True]
    assert cache.get("RS256", "r", 3600) is not None
    assert cache.get("RS256", "r", 3601) is None
    cache.store(key_set(jwk(EC.public_key(), kid="e")), 310)
    assert cache.get("RS256", "r", 310) is None
    assert not cache.failed

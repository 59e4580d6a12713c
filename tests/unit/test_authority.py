"""The certificate authority that a user keeps: made once, private, renewed in time."""

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sonic_voice.emulator.server import certificates as authority
from sonic_voice.emulator.server.certificates import (
    CertificateAuthority,
    check_name,
    server_names,
    user_folder,
)
from sonic_voice.errors import ConfigError

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def shakes_hands(found: CertificateAuthority, name: str, *more: str) -> None:
    """A TLS handshake in memory, by a client that trusts this CA alone."""
    client = ssl.create_default_context(cadata=found.ca_pem.decode())
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    there, here = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(here, there, server_hostname=name)
    answering = found.server_context("127.0.0.1", *more).wrap_bio(there, here, server_side=True)
    sides = [asking, answering]
    for side in sides * 4:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert asking.getpeercert()


def test_the_same_ca_is_there_the_second_time(tmp_path: Path) -> None:
    first, second = [CertificateAuthority.of_this_user(tmp_path / "kept") for _ in range(2)]
    assert first.ca_pem == second.ca_pem == second.ca_file.read_bytes()
    assert b"PRIVATE" not in first.ca_pem
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "authority.pem",
        "ca.pem",
    ]


@pytest.mark.parametrize(
    "name",
    ["localhost", "127.0.0.1", "::1", "bedrock-runtime.us-east-1.amazonaws.com"],
)
def test_a_kept_ca_vouches_for_this_machine_and_the_services_names(
    tmp_path: Path, name: str
) -> None:
    CertificateAuthority.of_this_user(tmp_path)
    shakes_hands(CertificateAuthority.of_this_user(tmp_path), name)


def test_it_vouches_for_nobody_else(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        shakes_hands(CertificateAuthority.of_this_user(tmp_path), "s3.us-east-1.amazonaws.com")


@posix
def test_nobody_else_can_read_its_key(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        CertificateAuthority.of_this_user(tmp_path / "a/b")
    finally:
        os.umask(old)
    assert mode(tmp_path / "a/b") == 0o700
    assert mode(tmp_path / "a/b/authority.pem") == 0o600


@posix
def test_permissions_that_were_loosened_are_tightened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    CertificateAuthority.of_this_user(tmp_path)
    (tmp_path / "authority.pem").chmod(0o644)
    tmp_path.chmod(0o755)
    CertificateAuthority.of_this_user(tmp_path)
    assert (mode(tmp_path), mode(tmp_path / "authority.pem")) == (0o700, 0o600)
    assert caplog.text.count("was open to others") == 2


def test_a_ca_near_its_end_is_renewed_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    long_ago = datetime.now(UTC) - authority.CA_LIFETIME + timedelta(days=30)
    tmp_path.chmod(0o700)
    old = authority._new_ca(long_ago)  # pyright: ignore[reportPrivateUsage]
    (tmp_path / "authority.pem").write_bytes(old)
    (tmp_path / "authority.pem").chmod(0o600)
    found = CertificateAuthority.of_this_user(tmp_path)
    assert found.ca_pem not in old
    assert "trust it anew" in caplog.text
    shakes_hands(found, "localhost")


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nx\n"])
def test_a_file_that_holds_no_ca_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "authority.pem").write_bytes(content)
    shakes_hands(CertificateAuthority.of_this_user(tmp_path), "localhost")
    assert "A new CA takes the place" in caplog.text


def test_of_two_starts_at_once_both_have_the_ca_that_was_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = authority._new_ca  # pyright: ignore[reportPrivateUsage]
    others: list[CertificateAuthority] = []

    def slowly(now: datetime) -> bytes:
        monkeypatch.setattr(authority, "_new_ca", made)
        others.append(CertificateAuthority.of_this_user(tmp_path))  # somebody else, meanwhile
        return made(now)

    monkeypatch.setattr(authority, "_new_ca", slowly)
    mine = CertificateAuthority.of_this_user(tmp_path)
    assert [other.ca_pem for other in others] == [mine.ca_pem]


def test_a_folder_that_cannot_be_is_said_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="XDG_DATA_HOME"):
        CertificateAuthority.of_this_user(tmp_path / "file")


def test_the_folder_is_where_the_system_keeps_such_things(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "sonic-voice"


def test_a_ca_of_one_run_leaves_nothing() -> None:
    found = CertificateAuthority.of_this_run()
    shakes_hands(found, "localhost")
    folder = found.ca_file.parent
    found.remove_files()
    found.remove_files()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("host", "named"),
    [("0.0.0.0", False), ("10.1.2.3", True), ("my_box", False), ("box.lan", True)],
)
def test_a_certificate_names_where_it_listens_if_that_is_a_name(host: str, named: bool) -> None:
    assert (host in server_names(host)) is named


@pytest.mark.parametrize("name", ["host.docker.internal", "host.containers.internal", "emulator"])
def test_a_container_reaches_it_by_name(tmp_path: Path, name: str) -> None:
    found = CertificateAuthority.of_this_user(tmp_path)
    shakes_hands(found, name, "emulator")


@pytest.mark.parametrize("name", ["", "two words", "-x..y", "a/b"])
def test_what_is_no_name_is_not_put_into_a_certificate(name: str) -> None:
    with pytest.raises(ConfigError, match="neither a host name nor an address"):
        check_name(name)


def test_its_key_is_in_no_repr(tmp_path: Path) -> None:
    shown: Any = repr(CertificateAuthority.of_this_user(tmp_path))
    assert "PRIVATE" not in shown
    assert "_ca=" not in shown

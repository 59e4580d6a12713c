"""Certificates of the emulator's TLS: a certificate authority for one run, or one kept for a user.

A client is told once which CA to trust (`NODE_EXTRA_CA_CERTS=...`). Therefore the CA of
`sonic-voice emulate` is made once and kept in a private folder of the user:

    authority.pem    certificate and key together, mode 0600, so that they always belong together
    ca.pem           the certificate alone, to give to clients

The key can be used to impersonate any host to clients that trust this CA. Therefore only its owner
may read it, permissions that were loosened are tightened, the CA cannot make other CAs, and it is
valid for two years; a new one is made 60 days before its end. Server certificates are made at each
start and are never written to a file that stays.

When two emulators start at the same moment, both use the files of one of them: a new CA is linked
into place, in which only one process can succeed.
"""

import ipaddress
import logging
import os
import re
import socket
import ssl
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile, mkdtemp
from typing import Any

from ...catalog import VOICE_MODELS
from ...errors import ConfigError
from ...extras import install_command

_log = logging.getLogger(__name__)

CA_LIFETIME = timedelta(days=730)
"""Time for which a CA is valid."""
RENEWAL_MARGIN = timedelta(days=60)
"""Time before the end of a CA at which a new one is made."""
SERVER_LIFETIME = timedelta(days=397)
"""Time for which a server's certificate is valid. No client rejects certificates with such a
lifetime as too long."""
_CLOCK_SKEW = timedelta(days=1)
"""How long before its creation a certificate is valid, for clients whose clock is slow."""

CONTAINER_NAMES = ("host.docker.internal", "host.containers.internal")
"""Names by which a container reaches its host, and with it an emulator that runs there (Docker,
Podman)."""

_EVERYWHERE = ("0.0.0.0", "::")
"""Wildcard addresses: a server that listens there is reached at every address of the machine."""
_NAME = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
_PRIVATE_FILE = 0o600
_PRIVATE_FOLDER = 0o700
_OTHERS = 0o077
"""The permission bits of everybody except the owner."""


def user_folder() -> Path:
    """Return the folder for this user's CA, in `XDG_DATA_HOME` or the system's data folder.

    Raises:
        ConfigError: The user has no home directory.
    """
    if named := os.environ.get("XDG_DATA_HOME"):
        return Path(named) / "sonic-voice"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home()) / "sonic-voice"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ConfigError(
            "The emulator's CA has no place: this user has no home directory.",
            hint="Set HOME, or XDG_DATA_HOME to a folder that you can write to.",
        ) from error
    if sys.platform == "darwin":
        return home / "Library/Application Support/sonic-voice"
    return home / ".local/share/sonic-voice"


def server_names(host: str, *more: str) -> list[str]:
    """Return the names and addresses for which the emulator has a certificate.

    They are those of this machine and, for clients whose endpoint cannot be changed, the names of
    the real service.

    Args:
        host: The name or address at which the emulator listens.
        more: Further names and addresses.
    """
    regions = sorted({region for model in VOICE_MODELS for region in model.regions})
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *CONTAINER_NAMES, *more]
    names += [f"bedrock-runtime.{region}.amazonaws.com" for region in regions]
    if host not in _EVERYWHERE:
        names.append(host)
    return [name for name in dict.fromkeys(names) if _is_address(name) or _NAME.fullmatch(name)]


def check_name(name: str) -> None:
    """Check a name for a certificate.

    Args:
        name: A host name or an IP address.

    Raises:
        ConfigError: It is neither.
    """
    if not (_is_address(name) or _NAME.fullmatch(name)):
        raise ConfigError(
            f"{name!r} is neither a host name nor an address.",
            hint="Give the name that clients connect to, such as emulator.test.",
        )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A certificate authority that makes TLS contexts for servers."""

    ca_pem: bytes
    """The certificate of the CA, as PEM."""
    ca_file: Path
    """The file with that certificate."""
    kept: bool
    """True if the file stays after the run."""
    _ca: Any = field(repr=False)

    @classmethod
    def of_this_run(cls) -> "CertificateAuthority":
        """Make a CA for one run. `remove_files` removes the temporary folder of its certificate."""
        pem = _new_ca(datetime.now(UTC))
        path = Path(mkdtemp(prefix="sonic-voice-")) / "ca.pem"
        certificate, ca = _split(pem)
        path.write_bytes(certificate)
        return cls(certificate, path, kept=False, _ca=ca)

    @classmethod
    def of_this_user(cls, folder: Path | None = None) -> "CertificateAuthority":
        """Load the CA that is kept for this user, and make or renew it if necessary.

        Args:
            folder: The folder of the CA. None: `user_folder()`.

        Raises:
            ConfigError: The folder cannot be used.
        """
        folder = folder or user_folder()
        try:
            folder.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
            _tighten(folder, _PRIVATE_FOLDER)
            pem = _kept(folder / "authority.pem", datetime.now(UTC))
            certificate, ca = _split(pem)
            path = folder / "ca.pem"
            if not path.exists() or path.read_bytes() != certificate:
                _private_file(folder, certificate).replace(path)
        except OSError as error:
            raise ConfigError(
                f"The emulator's CA cannot be kept in {folder}: {error.strerror or error}.",
                hint="Set XDG_DATA_HOME to a folder that you can write to.",
            ) from error
        return cls(certificate, path, kept=True, _ca=ca)

    def server_context(self, host: str, *more: str) -> ssl.SSLContext:
        """Return a TLS context for a server, with a new certificate.

        Args:
            host: The name or address at which the server listens.
            more: Further names and addresses for the certificate.
        """
        now = datetime.now(UTC)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # HTTP/1.1 is for health checks, which cannot speak HTTP/2.
        context.set_alpn_protocols(["h2", "http/1.1"])
        names = server_names(host, *more)
        leaf = self._ca.issue_cert(
            *names, not_before=_naive(now - _CLOCK_SKEW), not_after=_naive(now + SERVER_LIFETIME)
        )
        leaf.configure_cert(context)
        return context

    def remove_files(self) -> None:
        """Remove the files of a CA that is not kept. Does nothing when called again."""
        if not self.kept:
            with suppress(FileNotFoundError):
                self.ca_file.unlink()
                self.ca_file.parent.rmdir()


def _kept(path: Path, now: datetime) -> bytes:
    """Return the certificate and key in a file, made anew if they are missing, bad or too old."""
    try:
        _tighten(path, _PRIVATE_FILE)
        pem = path.read_bytes()
        if _lasts(pem, now):
            return pem
        _log.warning("A new CA takes the place of the one in %s: trust it anew.", path)
        _private_file(path.parent, _new_ca(now)).replace(path)
    except FileNotFoundError:
        made = _private_file(path.parent, _new_ca(now))
        try:
            path.hardlink_to(made)
        except FileExistsError:  # another process was faster, and its CA is used
            _log.info("another emulator made the CA in %s", path)
        except OSError:  # the file system has no links
            made.replace(path)
        finally:
            made.unlink(missing_ok=True)
    return path.read_bytes()


def _tighten(path: Path, mode: int) -> None:
    """Remove the permissions of everybody except the owner."""
    found = path.stat()
    if os.name == "posix" and found.st_mode & _OTHERS:
        _log.warning("%s was open to others; it is closed now.", path)
        path.chmod(mode)


def _private_file(folder: Path, content: bytes) -> Path:
    """Write a new file that only its owner can read, and return its path."""
    with NamedTemporaryFile(dir=folder, prefix=".new-", delete=False) as file:  # 0600
        file.write(content)
    return Path(file.name)


def _naive(moment: datetime) -> datetime:
    """Return a time in UTC without a time zone, as the certificate library takes it."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def _lasts(pem: bytes, now: datetime) -> bool:
    """Return whether a PEM holds a CA that is valid for longer than `RENEWAL_MARGIN`."""
    from cryptography import x509

    try:
        _split(pem)
        expires = x509.load_pem_x509_certificate(pem).not_valid_after_utc
    except (ValueError, TypeError):
        return False
    return expires - now > RENEWAL_MARGIN


def _split(pem: bytes) -> tuple[bytes, Any]:
    """Return the certificate in a PEM, and the CA made of it and of the key behind it.

    Raises:
        ValueError: The PEM has no key, or cannot be read.
    """
    trustme = _trustme()
    mark = b"-----BEGIN PRIVATE KEY-----"
    certificate, found, key = pem.partition(mark)
    if not found:
        raise ValueError("no key")
    return certificate, trustme.CA.from_pem(certificate, mark + key)


def _new_ca(now: datetime) -> bytes:
    """Make a CA, and return its certificate and key as PEM, one after the other."""
    _trustme()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "sonic-voice"),
            x509.NameAttribute(
                x509.NameOID.COMMON_NAME, f"sonic-voice emulator on {socket.gethostname()}"[:64]
            ),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _trustme() -> Any:
    try:
        import trustme
    except ImportError as error:
        raise ConfigError(
            "The emulator's TLS needs the package trustme.",
            hint=f"Run: {install_command('emulator')}",
        ) from error
    return trustme

"""TLS of the client: the trusted certificate authorities (CAs), and explanations of failures.

The CAs come from the first of these sources that is set:

    --ca FILE, `ca_file`     named by the user: trusted exclusively, without the strict check
    AWS_CA_BUNDLE            the same; the AWS CLI and SDKs read it, too
    SSL_CERT_FILE            read by OpenSSL in place of the system's file; it may add SSL_CERT_DIR
    the system's store       as OpenSSL was built

Python 3.13 introduced a strict check of CAs (`ssl.VERIFY_X509_STRICT`, RFC 5280): a CA whose
basicConstraints are not marked critical is rejected, as the CAs of many companies are. The strict
check applies to the system's store and to SSL_CERT_FILE, which installers set without asking. A CA
file that the user names is accepted without it, because the user chose it; it may also contain an
intermediate CA.

OpenSSL ignores an SSL_CERT_FILE that it cannot read, and then trusts fewer CAs than the user
expects. When a certificate is not trusted, the variables are therefore checked, and the message
names the one that cannot be used.
"""

import os
import ssl
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import ConfigError, ConnectError

STRICT = sys.version_info >= (3, 13)
"""Whether Python checks CAs strictly by default, which it does since version 3.13."""

# OpenSSL's verification errors: X509_V_ERR_... of openssl/x509_vfy.h.
_UNKNOWN_ISSUER = frozenset({2, 20, 21})
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED, _SELF_SIGNED_CA = 18, 19
_STRICT_CODES = range(80, 94)  # reported only where the check is strict
HOST_MISMATCH_CODES = frozenset({62, 64})
"""Verification errors of a certificate for another host name or IP address."""

_FOREIGN_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""Variables that name a CA file for other programs; when one is set, a hint says so."""

_PLAINTEXT_REASONS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
)
"""OpenSSL's reasons when the peer answers with something other than a TLS record."""

_CHECK_PATH = "Check the endpoint, and what stands in between: a proxy, a firewall, a VPN."


class CertificateError(ConnectError):
    """The service's certificate is not trusted."""


@dataclass(frozen=True, slots=True)
class TrustedCas:
    """The source of the trusted CAs."""

    file: str = ""
    """Path of the PEM file; empty for the system's store."""
    named_by: str = ""
    """Option or variable that named the file: `--ca`, `AWS_CA_BUNDLE` or `SSL_CERT_FILE`; empty
    for the system's store."""

    @classmethod
    def find(cls, ca_file: str | os.PathLike[str] | None = None) -> "TrustedCas":
        """Return the source of the CAs that a connection would trust now.

        Args:
            ca_file: PEM file named by the user; None: follow the environment.
        """
        if ca_file:
            return cls(os.fspath(ca_file), "--ca")
        for name in ("AWS_CA_BUNDLE", "SSL_CERT_FILE"):
            if path := os.environ.get(name):
                return cls(path, name)
        return cls()

    @property
    def explicit(self) -> bool:
        """True if the user named the file for this program or for AWS tools.

        Such a file is trusted exclusively and without the strict check.
        """
        return self.named_by in {"--ca", "AWS_CA_BUNDLE"}

    @property
    def fault(self) -> str:
        """The reason that the named file cannot be used; empty if it can, or if there is none."""
        return _fault_of_file(self.file) if self.file else ""

    def __str__(self) -> str:
        if not self.file:
            return "the system's"
        if not self.explicit and (fault := self.fault):
            return f"the system's, without {self.file} ({self.named_by}): {fault}"
        return f"those of {self.file} ({self.named_by})"


class TlsContext(ssl.SSLContext):
    """A client's TLS context that remembers the source of its CAs, for hints after failures."""

    cas: TrustedCas = TrustedCas()
    """Source of the trusted CAs."""


def tls_context(
    ca_file: str | os.PathLike[str] | None = None, *, strict: bool | None = None
) -> TlsContext:
    """Return a client's TLS context; see the module for the CAs that it trusts.

    Building one takes tens of milliseconds, so that it should be built once and shared.

    Args:
        ca_file: PEM file with the CAs to trust, in place of `AWS_CA_BUNDLE` and all others.
        strict: Whether CAs that the user did not name are checked strictly; None: `STRICT`.

    Raises:
        ConfigError: The file named by `ca_file` or `AWS_CA_BUNDLE` cannot be used.
    """
    cas = TrustedCas.find(ca_file)
    context = TlsContext(ssl.PROTOCOL_TLS_CLIENT)
    context.cas = cas
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if cas.explicit:
        if fault := cas.fault:
            raise ConfigError(
                f"The CA file {cas.file!r} ({cas.named_by}) cannot be used: {fault}.",
                hint="It must hold certificates in PEM form.",
            )
        context.load_verify_locations(cas.file)
    else:
        context.load_default_certs()
        if STRICT if strict is None else strict:
            context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # RFC 9113, 9.2.1
    context.set_alpn_protocols(["h2"])
    return context


def proxy_tls_context(ca_file: str | os.PathLike[str] | None = None) -> TlsContext:
    """Return a TLS context for connections to a proxy.

    Args:
        ca_file: PEM file with further CAs, as for `tls_context`. The system's CAs are trusted as
            well, because a file that is named for the service need not contain the proxy's CA.

    Raises:
        ConfigError: The file cannot be used.
    """
    context = tls_context(ca_file)
    context.load_default_certs()
    context.set_alpn_protocols(["http/1.1"])
    return context


def certificate_error(
    place: str,
    error: ssl.SSLCertVerificationError,
    cas: TrustedCas,
    *,
    now: datetime | None = None,
    names: tuple[str, ...] = (),
) -> CertificateError:
    """Return the error for a rejected certificate, with a hint.

    Args:
        place: Host and port, for the message.
        error: The error from OpenSSL.
        cas: Source of the CAs that the connection trusted.
        now: Time shown when the certificate's dates are at fault; None: the system's clock.
        names: Host names of the certificate, if they are known.
    """
    code = error.verify_code
    if code in {_EXPIRED, _NOT_YET_VALID}:
        when = now or datetime.now(UTC)
        reason = "it has expired" if code == _EXPIRED else "it is not valid yet"
        hint = (
            f"Is the clock of this machine right? It says {when:%Y-%m-%d %H:%M} UTC. If it is, "
            "the certificate must be renewed where it is served."
        )
    elif code in HOST_MISMATCH_CODES:
        of = f" but for {', '.join(names)}" if names else ""
        reason = f"it is not for this host{of}"
        hint = (
            "Name the endpoint as its certificate does. A proxy, or the sign-in page of a "
            "network, may have answered in its place."
        )
    elif code in _STRICT_CODES:
        reason = f"Python {_version()} rejects a CA of its chain: {error.verify_message}"
        hint = (
            "Python checks CAs strictly since version 3.13. To accept this one, name it to us: "
            "--ca FILE (in Python: ca_file), or export AWS_CA_BUNDLE=FILE."
        )
    else:
        reason = _issuer_reason(code) or error.verify_message
        hint = _issuer_hint(cas)
    return CertificateError(f"The certificate of {place} is not trusted: {reason}.", hint=hint)


def tls_error(place: str, error: ssl.SSLError) -> ConnectError:
    """Return the error for a failed handshake, except for rejected certificates.

    Args:
        place: Host and port, for the message.
        error: The error from OpenSSL.
    """
    reason = error.reason or ""
    if reason in _PLAINTEXT_REASONS:
        return ConnectError(
            f"{place} does not speak TLS: it answered in plain text.",
            hint="Check the port. Without TLS an endpoint is http://, and on this machine only.",
        )
    if "UNEXPECTED_EOF" in reason or isinstance(error, ssl.SSLEOFError):
        return closed_in_handshake(place)
    if "NO_APPLICATION_PROTOCOL" in reason:
        return no_http2(place)
    if "PROTOCOL_VERSION" in reason or reason == "UNSUPPORTED_PROTOCOL":
        what, hint = "wants a version of TLS older than 1.2", _CHECK_PATH
    elif "UNRECOGNIZED_NAME" in reason:
        what, hint = "does not know the name of its host", "Check the endpoint and the region."
    elif "CERTIFICATE" in reason:
        what, hint = "wants a certificate of this side, and there is none", _CHECK_PATH
    else:
        what, hint = f"failed in the TLS handshake ({reason or error})", _CHECK_PATH
    return ConnectError(f"{place} {what}.", hint=hint)


def closed_in_handshake(place: str) -> ConnectError:
    """Return the error for a connection that the peer closed during the TLS handshake.

    Args:
        place: Host and port, for the message.
    """
    return ConnectError(
        f"{place} closed the connection during the TLS handshake.", hint=_CHECK_PATH
    )


def no_http2(place: str) -> ConnectError:
    """Return the error for a peer that did not choose HTTP/2 in the TLS handshake (ALPN).

    Args:
        place: Host and port, for the message.
    """
    return ConnectError(
        f"{place} does not speak HTTP/2: it did not choose it in the TLS handshake.",
        hint="Check the endpoint; a proxy that opens TLS in between must let HTTP/2 through.",
    )


def _issuer_reason(code: int) -> str:
    if code == _SELF_SIGNED:
        return "it is signed by itself, not by a CA"
    if code == _SELF_SIGNED_CA or code in _UNKNOWN_ISSUER:
        return "it was issued by a CA that is not trusted here"
    return ""


def _issuer_hint(cas: TrustedCas) -> str:
    """Return the hint for an issuer that is not trusted, given the source of the CAs."""
    for name in () if cas.explicit else ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        path = os.environ.get(name)
        fault = path and (_fault_of_file(path) if name.endswith("FILE") else _fault_of_dir(path))
        if fault:
            return (
                f"{name} is {path!r}, which cannot be used: {fault}. Nothing of it is trusted. "
                f"Correct {name}, or unset it to trust the system's CAs."
            )
    foreign = [
        f"{name} is set, but read by other programs." for name in _FOREIGN_VARIABLES if _set(name)
    ]
    way = (
        "For another CA, such as a company's: --ca FILE (in Python: ca_file), or export "
        "AWS_CA_BUNDLE=FILE or SSL_CERT_FILE=FILE."
    )
    return " ".join([f"Trusted are {cas}.", *foreign, way])


def _set(name: str) -> bool:
    return bool(os.environ.get(name))


def _fault_of_file(path: str) -> str:
    """Return the reason that `path` cannot be used as a CA file; empty if it can."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "it holds no certificate in PEM form"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _fault_of_dir(paths: str) -> str:
    missing = [path for path in paths.split(os.pathsep) if not Path(path).is_dir()]
    return f"{missing[0]} is not a folder" if missing else ""


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"

"""Keys of the object server's inner ports: SeaweedFS's security.toml, new at each start.

Every web page that is open on this machine can send requests to ports of loopback. The door decides requests to S3; the
servers behind it answer only each other: HTTP of master and filer is off, the volume server wants a token that is
signed with a key of this file, and gRPC wants the certificate of this file from both sides (mutual TLS).
https://github.com/seaweedfs/seaweedfs/wiki/Security-Configuration
"""

from __future__ import annotations

import datetime
import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# The server reads it from its working directory.
FILE, _CERTIFICATE, _KEY = "security.toml", "inner.crt", "inner.key"
_SIGNING = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
_ENDS = ("master", "volume", "filer", "s3", "admin", "worker", "client", "msg_broker", "msg_agent")
# A certificate is as old as its server's process; nobody renews one that ends meanwhile.
_DAYS = 3650


def write(folder: Path) -> None:
    """Write new keys, a certificate and the file that names them into the server's folder, for its owner only."""
    certificate, key = _certificate()
    _write(folder / _CERTIFICATE, certificate)
    _write(folder / _KEY, key)
    pair = f"cert = {_quoted(folder / _CERTIFICATE)}\nkey = {_quoted(folder / _KEY)}\n"
    text = "".join(f'[{name}]\nkey = "{secrets.token_urlsafe(32)}"\n' for name in _SIGNING)
    text += f"[grpc]\nca = {_quoted(folder / _CERTIFICATE)}\n"
    text += "".join(f"[grpc.{name}]\n{pair}" for name in _ENDS)
    _write(folder / FILE, text.encode())


def _quoted(path: Path) -> str:
    """A basic string of TOML: https://toml.io/en/v1.0.0#string."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _certificate() -> tuple[bytes, bytes]:
    """A certificate that is its own authority, and its private key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "local object server")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is set back must not end it.
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(encoding), private


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)

"""Certificates of an authority of one's own, as nodes of a Ray that encrypts have them."""

import ipaddress
import socket
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def write_certificates(folder: Path, addresses: Iterable[str] = ("127.0.0.1",)) -> dict[str, str]:
    """Makes an authority, and a key and a certificate of a node at `addresses`: the environment that Ray reads.

    Whoever has them may join, and may be joined, as Ray asks both sides for a certificate.
    """
    folder.mkdir(parents=True)
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    own = _builder("authority of a test", "authority of a test", authority)
    root = own.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(socket.gethostname())]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)]
    node = _builder("authority of a test", "node", key).add_extension(
        x509.SubjectAlternativeName(names), critical=False
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    files = {
        "RAY_TLS_CA_CERT": root.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM),
        "RAY_TLS_SERVER_CERT": node.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM),
        "RAY_TLS_SERVER_KEY": private,
    }
    for name, content in files.items():
        (folder / f"{name}.pem").write_bytes(content)
    return {"RAY_USE_TLS": "1"} | {name: str(folder / f"{name}.pem") for name in files}


def _builder(issuer: str, subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(_name(issuer))
        .subject_name(_name(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])

"""Makes an authority, and the certificates of a broker and a database on this machine.

    python certificates.py FOLDER
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import shutil
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# What clients trust.
AUTHORITY = "authority.pem"
# What the broker shows, with its key, and what the database shows.
BROKER = "broker.pem"
DATABASE = "database.pem"
# What they show once those have been replaced.
BROKER_RENEWED = "broker-renewed.pem"
DATABASE_RENEWED = "database-renewed.pem"

# Longer than anybody keeps a local stack.
VALID_FOR = datetime.timedelta(days=3650)
# Clocks differ.
SINCE = datetime.timedelta(days=1)


def make(folder: Path) -> None:
    """Write all files: under a temporary name first, so that half of them never counts.

    Nobody keeps the authority's key, so that nothing else is ever trusted because of it. That is
    why the certificates which replace the first ones are made at the same time.
    """
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = name("Local stack")
    authority = (
        certificate(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    pem = serialization.Encoding.PEM
    (fresh / AUTHORITY).write_bytes(authority.public_bytes(pem))
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    for file_name, subject in (
        (BROKER, "Kafka"),
        (BROKER_RENEWED, "Kafka"),
        (DATABASE, "PostgreSQL"),
        (DATABASE_RENEWED, "PostgreSQL"),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        server = (
            certificate(name(subject), authority_name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        with open(fresh / file_name, "wb", opener=private) as file:
            form = serialization.PrivateFormat.PKCS8
            file.write(key.private_bytes(pem, form, serialization.NoEncryption()))
            file.write(server.public_bytes(pem))
    fresh.rename(folder)


def certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """A certificate that is not signed yet."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SINCE)
        .not_valid_after(now + VALID_FOR)
    )


def name(common: str) -> x509.Name:
    """A name that has only a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)


if __name__ == "__main__":
    make(Path(sys.argv[1]))

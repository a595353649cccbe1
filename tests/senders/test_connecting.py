"""If a connection to X fails, nothing of the request was sent, so the attempt is not ambiguous."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from twite.gateway.ports.transport import NoResponse, OutboundRequest
from twite.senders.http import HttpTransport

LOOPBACK = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))


def a_certificate(folder, *, names=(LOOPBACK,), days=1):
    """Write a self-signed certificate and its key; return the path of both in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


async def posted(port, *, tls=None, scheme="https", within=400):
    transport = HttpTransport(timeout=within, tls=tls)
    await transport.start()
    try:
        outbound = OutboundRequest(
            url=f"{scheme}://127.0.0.1:{port}/", headers={}, body=b"{}" * 100
        )
        return await transport.post(outbound)
    finally:
        await transport.stop()


@contextlib.asynccontextmanager
async def fake_x(certificate):
    """Listen with TLS, and read a request if one comes."""
    requests = []

    async def serve(reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            requests.append(await reader.readexactly(1))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], requests


@pytest.mark.parametrize(
    ("names", "days", "trusted"),
    [
        ((LOOPBACK,), 1, False),
        ((LOOPBACK,), -1, True),
        ((x509.DNSName("another.example"),), 1, True),
    ],
    ids=["unknown authority", "expired", "of another host"],
)
async def test_server_with_an_invalid_certificate_gets_no_request(names, days, trusted, tmp_path):
    path = a_certificate(tmp_path, names=names, days=days)
    tls = ssl.create_default_context(cafile=path) if trusted else None

    async with fake_x(path) as (port, requests):
        came = await posted(port, tls=tls)

    assert came == NoResponse(reason="no connection: ClientConnectorCertificateError", left=False)
    assert requests == []


async def test_handshake_that_never_ends_is_not_an_ambiguous_attempt():
    closed = asyncio.Event()

    async def serve(reader, writer):
        while await reader.read(1_000):
            pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        came = await posted(server.sockets[0].getsockname()[1])
        await closed.wait()

    assert isinstance(came, NoResponse)
    assert not came.left


async def test_connection_that_is_not_accepted_is_not_an_ambiguous_attempt():
    """A full backlog: the system does not answer, like a firewall that drops packets."""
    with socket.socket() as listening, contextlib.ExitStack() as filling:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for _ in range(4):
            waiting = filling.enter_context(socket.socket())
            waiting.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))

        came = await posted(port, scheme="http")

    assert isinstance(came, NoResponse)
    assert not came.left

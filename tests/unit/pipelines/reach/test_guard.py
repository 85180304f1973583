"""What the guarded client reaches and what it refuses, tried against a server that would answer if it were reached."""

from __future__ import annotations

import datetime as dt
import ssl
from ipaddress import ip_address, ip_network
from pathlib import Path

import httpcore
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dash_app.pipelines.reach import guard
from dash_app.pipelines.reach.addresses import is_allowed
from dash_app.pipelines.reach.guard import AddressNotAllowed, TimedStream, guarded_client

HERE = ["127.0.0.0/8"]


def to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def fine(server: HTTPServer, path: str = "/") -> None:
    server.expect_request(path).respond_with_data("reached")


# Addresses


@pytest.mark.parametrize(
    "text",
    [
        *(
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
        ),
        *("100.64.0.1", "100.100.100.200", "169.254.169.254", "169.254.170.2", "168.63.129.16", "192.0.0.192"),
        *("192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.250"),
        *("240.0.0.1", "255.255.255.255"),
        *(
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
        ),
        *("64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::10.0.0.1"),
        *("2002:7f00:1::", "2002:a00:1::", "2002:a9fe:a9fe::", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "100::1"),
        *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "2001:4860::1%lo"),
    ],
)
def test_refused_addresses(text: str) -> None:
    assert not is_allowed(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1.1.1.1",
            "8.8.8.8",
            "93.184.216.34",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "169.253.0.1",
        ),
        *("2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"),
    ],
)
def test_public_addresses(text: str) -> None:
    assert is_allowed(ip_address(text))


def test_allowed_networks_open_what_is_private_and_nothing_else() -> None:
    networks = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
    assert is_allowed(ip_address("10.1.2.3"), networks)
    assert is_allowed(ip_address("::ffff:10.1.2.3"), networks)
    assert is_allowed(ip_address("fd00::1"), networks)
    assert not is_allowed(ip_address("192.168.0.1"), networks)
    everything = [ip_network("0.0.0.0/0"), ip_network("::/0")]
    assert is_allowed(ip_address("127.0.0.1"), everything)
    for never in (
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fd00:ec2::254",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
    ):
        assert not is_allowed(ip_address(never), everything), never


# Connecting


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0"),
        *("0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "127.0.0.1.", "LOCALHOST"),
    ],
)
def test_no_spelling_of_this_machine_is_reached(httpserver: HTTPServer, host: str) -> None:
    fine(httpserver)
    refusals = (AddressNotAllowed, httpx.InvalidURL, httpx.ConnectError)  # the last: a name the system does not know
    with guarded_client() as client, pytest.raises(refusals) as refusal:
        client.get(f"http://{host}:{httpserver.port}/")
    assert not httpserver.log
    if isinstance(refusal.value, AddressNotAllowed):
        assert refusal.value.message == f"address not allowed: {host.strip('[]').lower()}"


def test_the_error_names_the_host_and_nothing_else(httpserver: HTTPServer) -> None:
    private = guarded_client(resolver=lambda host, port: ["10.11.12.13"])
    with private as client, pytest.raises(AddressNotAllowed) as refusal:
        client.get("http://intern.example/secret?key=1")
    assert refusal.value.message == "address not allowed: intern.example"


def test_the_checked_address_is_the_one_that_is_connected_to(httpserver: HTTPServer) -> None:
    fine(httpserver)
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.99"]

    with guarded_client(["127.0.0.1/32"], resolver=rebinding) as client:
        assert client.get(f"http://api.example:{httpserver.port}/").text == "reached"
    assert asked == ["api.example"]
    assert httpserver.log[0][0].headers["host"] == f"api.example:{httpserver.port}"


def test_of_several_addresses_only_allowed_ones_are_tried(httpserver: HTTPServer) -> None:
    fine(httpserver)
    with guarded_client(["127.0.0.1/32"], resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"]) as client:
        assert client.get(f"http://api.example:{httpserver.port}/").text == "reached"
    other = guarded_client(["127.0.0.3/32"], resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"])
    with other as client, pytest.raises(AddressNotAllowed):
        client.get(f"http://api.example:{httpserver.port}/")


@pytest.mark.parametrize("port", [65536, 99999])
def test_ports_that_are_none(port: int) -> None:
    with guarded_client(HERE) as client, pytest.raises(AddressNotAllowed):
        client.get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("answer", [[], ["nonsense"], ["fe80::1%lo"]])
def test_resolvers_that_answer_oddly(answer: list[str]) -> None:
    with guarded_client(resolver=lambda host, port: answer) as client, pytest.raises(AddressNotAllowed):
        client.get("http://api.example/")


def test_unknown_names_say_nothing_of_the_resolver() -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise OSError("nameserver 10.0.0.2 says no")

    with guarded_client(resolver=unknown) as client, pytest.raises(httpx.ConnectError) as error:
        client.get("http://api.example/")
    assert "10.0.0.2" not in str(error.value)


def test_allow_opens_one_host_and_port(httpserver: HTTPServer) -> None:
    fine(httpserver)
    with guarded_client(allow=frozenset({("127.0.0.1", httpserver.port)})) as client:
        assert client.get(f"http://127.0.0.1:{httpserver.port}/").text == "reached"
        for other in (f"http://localhost:{httpserver.port}/", "http://127.0.0.1:1/"):
            with pytest.raises(AddressNotAllowed):
                client.get(other)


def test_own_ports_are_refused_although_the_network_is_allowed(httpserver: HTTPServer) -> None:
    with guarded_client(HERE, own_ports=frozenset({httpserver.port})) as client:
        for host in ("127.0.0.1", "127.0.0.2", "localhost"):
            with pytest.raises(AddressNotAllowed):
                client.get(f"http://{host}:{httpserver.port}/")


def test_nothing_is_taken_from_the_environment(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    fine(httpserver)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with guarded_client(HERE) as client:
        assert client.get(httpserver.url_for("/")).text == "reached"


def test_cookies_are_not_kept(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("", headers={"set-cookie": "a=b; path=/"})
    with guarded_client(HERE) as client:
        client.get(httpserver.url_for("/"))
        client.get(httpserver.url_for("/"))
    assert [request.headers.get("cookie") for request, _ in httpserver.log] == [None, None]


# Redirects


def redirect(server: HTTPServer, path: str, to: str, status: int = 302) -> None:
    server.expect_request(path).respond_with_data("", status=status, headers={"location": to})


@pytest.mark.parametrize(
    "target",
    [
        *("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[::1]/", "http://0x7f.1/"),
        *("file:///etc/passwd", "ftp://example.org/", "gopher://127.0.0.1:6379/", "//10.0.0.1/"),
    ],
)
def test_redirects_are_checked(httpserver: HTTPServer, target: str) -> None:
    redirect(httpserver, "/", target)
    allow = frozenset({("127.0.0.1", httpserver.port)})
    with guarded_client(allow=allow) as client, pytest.raises(AddressNotAllowed):
        client.get(f"http://127.0.0.1:{httpserver.port}/")
    assert len(httpserver.log) == 1


def test_redirects_within_a_host_keep_the_headers(httpserver: HTTPServer) -> None:
    redirect(httpserver, "/", "/there")
    fine(httpserver, "/there")
    with guarded_client(HERE) as client:
        answer = client.get(httpserver.url_for("/"), headers={"authorization": "Bearer 1", "x-api-key": "2"})
    assert answer.text == "reached"
    assert httpserver.log[1][0].headers["x-api-key"] == "2"
    assert httpserver.log[1][0].headers["authorization"] == "Bearer 1"


def test_redirects_to_another_host_lose_every_secret(httpserver: HTTPServer) -> None:
    redirect(httpserver, "/", f"http://other.example:{httpserver.port}/there")
    fine(httpserver, "/there")
    sent = {"authorization": "Bearer 1", "x-api-key": "2", "cookie": "c=3", "accept": "text/plain"}
    with guarded_client(HERE, resolver=to_loopback) as client:
        answer = client.get(f"http://api.example:{httpserver.port}/", headers=sent)
    assert answer.text == "reached"
    arrived = {name.lower(): value for name, value in httpserver.log[1][0].headers.items()}
    assert not {"authorization", "x-api-key", "cookie"} & set(arrived)
    assert arrived["accept"] == "text/plain"
    assert arrived["host"] == f"other.example:{httpserver.port}"


def test_a_body_is_not_redirected_to_another_host(httpserver: HTTPServer) -> None:
    redirect(httpserver, "/", f"http://other.example:{httpserver.port}/there", 307)
    with guarded_client(HERE, resolver=to_loopback) as client, pytest.raises(AddressNotAllowed):
        client.post(f"http://api.example:{httpserver.port}/", content=b"secret")
    assert len(httpserver.log) == 1


def test_five_redirects_and_no_more(httpserver: HTTPServer) -> None:
    for number in range(6):
        redirect(httpserver, f"/{number}", f"/{number + 1}")
    fine(httpserver, "/6")
    with guarded_client(HERE) as client:
        assert client.get(httpserver.url_for("/1")).text == "reached"
        with pytest.raises(httpx.TooManyRedirects):
            client.get(httpserver.url_for("/0"))


def test_redirects_can_be_left_alone(httpserver: HTTPServer) -> None:
    redirect(httpserver, "/", "/there")
    with guarded_client(HERE) as client:
        assert client.get(httpserver.url_for("/"), follow_redirects=False).status_code == 302


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """(server, client): a certificate for good.example, and a client that trusts who signed it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "good.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("good.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(public, private)
    return server, ssl.create_default_context(cafile=str(public))


def test_tls_verifies_the_name_although_the_address_is_pinned(authority) -> None:
    with HTTPServer(ssl_context=authority[0]) as server:
        fine(server)
        with guarded_client(HERE, resolver=to_loopback, tls=authority[1]) as client:
            assert client.get(f"https://good.example:{server.port}/").text == "reached"
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                client.get(f"https://bad.example:{server.port}/")
        distrusting = guarded_client(HERE, resolver=to_loopback)
        with distrusting as client, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get(f"https://good.example:{server.port}/")


def test_no_way_back_from_https_to_http(authority, httpserver: HTTPServer) -> None:
    fine(httpserver)
    with HTTPServer(ssl_context=authority[0]) as server:
        redirect(server, "/", f"http://good.example:{httpserver.port}/")
        trusting = guarded_client(HERE, resolver=to_loopback, tls=authority[1])
        with trusting as client, pytest.raises(AddressNotAllowed, match="https to http"):
            client.get(f"https://good.example:{server.port}/", headers={"authorization": "Bearer 1"})
    assert not httpserver.log


def test_from_http_to_https_the_headers_go_along(authority, httpserver: HTTPServer) -> None:
    def secret(request: Request) -> Response:
        return Response(request.headers.get("x-api-key", "none"))

    with HTTPServer(ssl_context=authority[0]) as server:
        server.expect_request("/").respond_with_handler(secret)
        redirect(httpserver, "/", f"https://good.example:{server.port}/")
        with guarded_client(HERE, resolver=to_loopback, tls=authority[1]) as client:
            answer = client.get(f"http://good.example:{httpserver.port}/", headers={"x-api-key": "k"})
    assert answer.text == "k"


# Time


class Dripping(httpcore.NetworkStream):
    """Gives one byte at each read and remembers how long it was allowed to take."""

    def __init__(self) -> None:
        self.allowed: list[float | None] = []

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.allowed.append(timeout)
        return b"x"

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        pass


def test_a_dripping_server_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(guard.time, "monotonic", lambda: clock[0])
    under = Dripping()
    stream = TimedStream(under)
    clock[0] = 500.0
    stream.write(b"GET / HTTP/1.1\r\n\r\n", 10)
    for second in range(10):
        clock[0] = 500.0 + second
        stream.read(1, 10)
    assert under.allowed == [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    clock[0] = 510.0
    with pytest.raises(httpcore.ReadTimeout):
        stream.read(1, 10)
    stream.write(b"again", 10)
    assert stream.read(1, 10) == b"x"
    assert stream.read(1, None) == b"x"

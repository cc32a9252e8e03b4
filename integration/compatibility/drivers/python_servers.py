"""python_servers.py server KIND PORT CERTIFICATE KEY | client ADDRESS PORT WHAT

Servers as Python's own libraries make them, all of which echo; clients that check every byte and print `good`."""
import asyncio
import concurrent.futures
import http.client
import http.server
import multiprocessing
import multiprocessing.managers
import os
import selectors
import socket
import socketserver
import ssl
import struct
import sys
import threading
import xmlrpc.client
import xmlrpc.server


# Servers

async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof() if writer.can_write_eof() else None
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


def server_context(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def serve_asyncio(port, context=None):
    server = await asyncio.start_server(echo, "::", port, ssl=context, backlog=200)
    server4 = await asyncio.start_server(echo, "0.0.0.0", port, ssl=context, backlog=200)
    async with server, server4:
        await asyncio.Event().wait()


class EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        self.transport.sendto(data, address)


async def serve_datagrams(port):
    loop = asyncio.get_running_loop()
    for address in ("0.0.0.0", "::"):
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        if ":" in address:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        s.setblocking(False)
        await loop.create_datagram_endpoint(EchoDatagrams, sock=s)
    await asyncio.Event().wait()


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        while data := self.connection.recv(65536):
            self.connection.sendall(data)


class Threads(socketserver.ThreadingTCPServer):
    address_family, allow_reuse_address, daemon_threads, request_queue_size = socket.AF_INET6, True, True, 100


class Forks(socketserver.ForkingTCPServer):
    address_family, allow_reuse_address, request_queue_size = socket.AF_INET6, True, 100


def serve_blocking_tls(port, certificate, key):
    context = server_context(certificate, key)
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100)

    def one(plain):
        with context.wrap_socket(plain, server_side=True) as s:
            while data := s.recv(65536):
                s.sendall(data)

    def quietly(plain):
        try:
            one(plain)
        except OSError:
            pass

    while True:
        threading.Thread(target=quietly, args=(listener.accept()[0],), daemon=True).start()


def serve_selectors(port, kind):
    selector = kind()
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=100)
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ, None)
    while True:
        for key, mask in selector.select():
            s = key.fileobj
            if s is listener:
                s = listener.accept()[0]
                s.setblocking(False)
                selector.register(s, selectors.EVENT_READ, bytearray())
                continue
            waiting, ended = key.data, False
            if mask & selectors.EVENT_READ:
                data = s.recv(65536)
                waiting += data
                ended = not data
            if waiting:
                try:
                    del waiting[:s.send(waiting)]
                except BlockingIOError:
                    pass
            if ended and not waiting:
                selector.unregister(s)
                s.close()
            else:
                read = selectors.EVENT_READ if len(waiting) < 1 << 20 and not ended else 0
                selector.modify(s, read | (selectors.EVENT_WRITE if waiting else 0) or selectors.EVENT_WRITE, waiting)


class Manager(multiprocessing.managers.BaseManager):
    pass


def serve_manager(port):
    kept, lock = {}, threading.Lock()

    class Store:
        def add(self, name, amount):
            with lock:
                kept[name] = kept.get(name, 0) + amount
                return kept[name]

        def large(self, size):
            return b"z" * size

    store = Store()
    Manager.register("store", callable=lambda: store)
    manager = Manager(address=("::", port), authkey=b"secret")
    multiprocessing.connection.SocketListener = Dual
    manager.get_server().serve_forever()


class Dual(multiprocessing.connection.SocketListener):
    """The same listener for both families."""
    def __init__(self, address, family, backlog=1):
        self._socket = socket.create_server(("::", address[1]), family=socket.AF_INET6, dualstack_ipv6=True, backlog=50)
        self._address, self._family, self._last_accepted, self._unlink = address, family, None, None


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class WebServer(http.server.ThreadingHTTPServer):
    address_family, request_queue_size = socket.AF_INET6, 100


class Rpc(socketserver.ThreadingMixIn, xmlrpc.server.SimpleXMLRPCServer):
    address_family = socket.AF_INET6


def serve_rpc(port):
    server = Rpc(("::", port), logRequests=False)
    server.register_function(lambda *values: sum(values), "add")
    server.serve_forever()


def server(kind, port, certificate, key):
    port = int(port)
    if kind == "asyncio":
        asyncio.run(serve_asyncio(port))
    elif kind == "asyncio-tls":
        asyncio.run(serve_asyncio(port, server_context(certificate, key)))
    elif kind == "asyncio-udp":
        asyncio.run(serve_datagrams(port))
    elif kind == "socketserver-threads":
        Threads(("::", port), Handler).serve_forever()
    elif kind == "socketserver-forks":
        Forks(("::", port), Handler).serve_forever(0.1)
    elif kind == "blocking-tls":
        serve_blocking_tls(port, certificate, key)
    elif kind.startswith("selectors"):
        serve_selectors(port, selectors.PollSelector if kind.endswith("poll") else selectors.SelectSelector)
    elif kind == "manager":
        serve_manager(port)
    elif kind == "xmlrpc":
        serve_rpc(port)
    elif kind == "http":
        WebServer(("::", port), Web).serve_forever()


# Clients

def client_context():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(address, port, tls=False):
    s = socket.create_connection((address, port), timeout=20)
    return client_context().wrap_socket(s) if tls else s


def receive(s, count):
    parts = bytearray()
    while len(parts) < count and (part := s.recv(65536)):
        parts += part
    return bytes(parts)


def check_echo(address, port, tls=False):
    with connect(address, port, tls) as s:
        for size in (1, 10, 1000, 1448, 5000, 65536, 100_000):
            sent = os.urandom(size)
            s.sendall(sent)
            assert receive(s, size) == sent, size


def check_many(address, port, tls=False):
    async def one():
        reader, writer = await asyncio.open_connection(address, port, ssl=client_context() if tls else None)
        for _ in range(5):
            sent = os.urandom(2000)
            writer.write(sent)
            assert await reader.readexactly(2000) == sent
        writer.close()
        await writer.wait_closed()

    async def all_():
        for _ in range(3):
            await asyncio.gather(*[one() for _ in range(20 if tls else 50)])

    asyncio.run(asyncio.wait_for(all_(), 30))


def check_large(address, port, tls=False, size=20 << 20):
    async def all_():
        reader, writer = await asyncio.open_connection(address, port, ssl=client_context() if tls else None)
        sent = os.urandom(1 << 20)

        async def send():
            for _ in range(size >> 20):
                writer.write(sent)
                await writer.drain()

        sending = asyncio.create_task(send())
        for _ in range(size >> 20):
            assert await reader.readexactly(1 << 20) == sent
        await sending
        writer.close()

    asyncio.run(asyncio.wait_for(all_(), 40))


def check_half_close(address, port):
    with connect(address, port) as s:
        sent = os.urandom(3_000_000)
        threading.Thread(target=lambda: (s.sendall(sent), s.shutdown(socket.SHUT_WR)), daemon=True).start()
        assert receive(s, len(sent)) == sent and s.recv(1) == b""


def check_slow_reader(address, port):
    with connect(address, port) as s:
        sent = os.urandom(8_000_000)
        threading.Thread(target=s.sendall, args=(sent,), daemon=True).start()
        threading.Event().wait(0.5)
        assert receive(s, len(sent)) == sent


def check_reset(address, port):
    for _ in range(20):
        s = connect(address, port)
        s.sendall(b"x" * 10000)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
    check_echo(address, port)


def check_cancelled(address, port):
    async def all_():
        for _ in range(10):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                await asyncio.wait_for(reader.read(10), 0.05)
                raise AssertionError("data that nobody sent")
            except asyncio.TimeoutError:
                pass
            writer.write(b"later")
            assert await reader.readexactly(5) == b"later"
            writer.transport.abort()

    asyncio.run(all_())


def check_threads_tls(address, port):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: check_echo(address, port, True), range(48)))


def check_datagrams(address, port):
    async def all_():
        got = asyncio.Queue()

        class Receiver(asyncio.DatagramProtocol):
            def datagram_received(self, data, _):
                got.put_nowait(data)

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Receiver, remote_addr=(address, port))
        for size in (0, 1, 100, 1400) * 100:
            sent = os.urandom(size)
            transport.sendto(sent)
            if size:
                assert await asyncio.wait_for(got.get(), 5) == sent
        transport.close()

    asyncio.run(all_())


def manager_client(address, port):
    Manager.register("store")
    manager = Manager(address=(address, port), authkey=b"secret")
    manager.connect()
    return manager.store()


def check_manager(address, port):
    store = manager_client(address, port)
    for i in range(1, 500):
        assert store.add("one", 1) >= i
    assert len(store.large(3_000_000)) == 3_000_000


def add_some(where):
    store = manager_client(*where)
    for _ in range(100):
        store.add("several", 1)


def check_manager_processes(address, port):
    with multiprocessing.Pool(4) as pool:
        pool.map(add_some, [(address, port)] * 4)
    assert manager_client(address, port).add("several", 0) % 400 == 0


def check_xmlrpc(address, port):
    host = f"[{address}]" if ":" in address else address
    with xmlrpc.client.ServerProxy(f"http://{host}:{port}") as proxy:
        for i in range(200):
            assert proxy.add(i, 1) == i + 1


def post(connection, size):
    body = os.urandom(size)
    connection.request("POST", "/", body)
    assert connection.getresponse().read() == body


def check_http(address, port):
    connection = http.client.HTTPConnection(address, port, timeout=20)
    for size in (0, 1, 1000, 100_000, 5_000_000):
        post(connection, size)
    connection.close()


def check_http_threads(address, port):
    """As `requests` in a pool: 20 threads, some keep their connection and some do not."""
    def one(kept):
        connection = http.client.HTTPConnection(address, port, timeout=20)
        for _ in range(40):
            post(connection, 3000)
            if not kept:
                connection.close()
        connection.close()

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(one, [True, False] * 10))


def http_process(where):
    check_http(*where)
    return True


def check_http_pool(address, port):
    """Processes forked from one that has a connection already."""
    connection = http.client.HTTPConnection(address, port, timeout=20)
    post(connection, 10)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        assert all(pool.map(http_process, [(address, port)] * 8))
    post(connection, 10)
    connection.close()


def client(address, port, what):
    tls = what.endswith("-tls")
    name = what.removesuffix("-tls") if what != "threads-tls" else what
    check = globals()["check_" + name.replace("-", "_").replace(" ", "_")]
    check(address, int(port), **({"tls": True} if tls and name != what else {}))
    print("good")


if __name__ == "__main__":
    {"server": server, "client": client}[sys.argv[1]](*sys.argv[2:])

"""The real Python clients, python-socketio 5 (Engine.IO 4) or 4 (Engine.IO 3), against a server that does what the
example `socketio_echo` does.

    python matrix.py http://127.0.0.1:3000 | -- COMMAND …

Which of them is installed decides what is tested. A server that this program started it also restarts under its
clients. Prints a line for each case; the exit code is 0 when all passed.
"""

import os
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from urllib.parse import urlencode

import socketio

PATIENCE = 15
MAJOR = 5 if hasattr(socketio, "SimpleClient") or "auth" in socketio.Client.connect.__code__.co_varnames else 4
TRANSPORTS = {"polling then upgrade": None, "polling": ["polling"], "websocket": ["websocket"]}
# This client refuses a payload of more than sixteen packets, and the reference writes them.
BURST = int(os.environ.get("BURST", 300))
BYTES = bytes([0, 1, 2, 254, 255])


class Serving:
    """The server: one that runs, or one that is started from a command on a free port."""

    def __init__(self, arguments):
        self.command = None
        if arguments[:1] == ["--"]:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            words = [word.replace("{port}", str(port)) for word in arguments[1:]]
            if not any("{port}" in word for word in arguments):
                words += ["--port", str(port)]
            self.command = words
            self.start()
        elif arguments and arguments[0].startswith("http://"):
            self.url = arguments[0].rstrip("/")
        else:
            sys.exit("usage: python matrix.py http://HOST:PORT | -- COMMAND …")

    def start(self):
        self.child = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        host, port = self.url.removeprefix("http://").split(":")
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                if self.child.poll() is not None or time.monotonic() > until:
                    sys.exit(f"{self.command[0]} does not listen")
                time.sleep(0.02)

    def stop(self, kill=False):
        self.child.kill() if kill else self.child.terminate()
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Pulse(threading.Thread):
    """Whether the machine stood still: heartbeats of half a second do not survive that."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.stalled = url, float("-inf")

    def run(self):
        while True:
            began = time.monotonic()
            try:
                urllib.request.urlopen(self.url + "/pulse", timeout=5).close()
            except OSError:
                pass
            time.sleep(0.01)
            if time.monotonic() - began > 0.04:
                self.stalled = time.monotonic()


class Client:
    """One client in one namespace, with what came in queues."""

    def __init__(self, transports, **options):
        self.sio = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.2, **options)
        self.transports = transports
        self.queues = {}
        self.answers = lambda *question: ()

    def listen(self, namespace):
        for name in ["auth", "message-back", "answer-was", "connect", "disconnect", "connect_error"]:
            events = self.queues.setdefault((namespace, name), queue.Queue())
            self.sio.on(name, lambda *args, events=events: events.put(args), namespace=namespace)
        self.sio.on("question", lambda *question: self.answers(*question), namespace=namespace)

    def open(self, url, namespace="/", token=None):
        """Connects; the namespace's answer is yet to be waited for."""
        self.listen(namespace)
        if MAJOR == 5:
            auth = None if token is None else {"token": token}
            self.sio.connect(url, auth=auth, namespaces=[namespace], transports=self.transports, wait=False)
        else:
            # Version 4 writes what stands behind the namespace as it is, and knows it by its bare name afterwards.
            query = "" if token is None else "?" + urlencode({"token": token})
            self.sio.connect(url, namespaces=[namespace + query], transports=self.transports)
        return self

    def event(self, name, namespace="/"):
        return self.queues[namespace, name].get(timeout=PATIENCE)

    def connected(self, namespace="/"):
        self.event("connect", namespace)
        return self

    def emit(self, name, *args, namespace="/"):
        self.sio.emit(name, args, namespace=namespace)

    def ask(self, name, *args, namespace="/"):
        answers = queue.Queue()
        self.sio.emit(name, args, namespace=namespace, callback=lambda *answer: answers.put(answer))
        return answers.get(timeout=PATIENCE)

    def end(self):
        try:
            self.sio.disconnect()
        except Exception:  # noqa: BLE001 - it may be gone already
            pass


def connects(serving, transports):
    client = Client(transports).open(serving.url, "/custom", "abc").connected("/custom")
    assert client.event("auth", "/custom") == ({"token": "abc"},)
    client.end()


def is_refused(serving, transports):
    for token in [None, "wrong"]:
        client = Client(transports).open(serving.url, "/protected", token)
        (error,) = client.event("connect_error", "/protected")
        data = {"code": "E_AUTH", "retry": False}
        assert error == ({"message": "Not authorized", "data": data} if MAJOR == 5 else data), error
        client.end()
    client = Client(transports).open(serving.url, "/nowhere")
    assert "Invalid namespace" in str(client.event("connect_error", "/nowhere"))
    client.end()


def is_let_in(serving, transports):
    client = Client(transports).open(serving.url, "/protected", "let-me-in").connected("/protected")
    assert client.event("auth", "/protected") == ({"token": "let-me-in"},)
    client.end()


def events(serving, transports):
    client = Client(transports).open(serving.url).connected()
    for args in [(), (1,), ("é 😀", {"a": [1, None, {"b": True}]}, []), ("x" * 50_000,)]:
        client.emit("message", *args)
        assert client.event("message-back") == args
    client.end()


def acks_both_ways(serving, transports):
    client = Client(transports).open(serving.url).connected()
    for args in [(), ("x",), (1, {"a": [2]})]:
        assert client.ask("message-with-ack", *args) == args
        client.answers = lambda *question: ("answer", *question)
        client.emit("ask-me", *args)
        assert client.event("answer-was") == ("answer", *args)
    client.end()


def binary_both_ways(serving, transports):
    client = Client(transports).open(serving.url).connected()
    args = ("x", BYTES, {"deep": [b"abc", {"deeper": bytes(70_000)}]}, 5)
    client.emit("message", *args)
    assert client.event("message-back") == args
    assert client.ask("message-with-ack", *args) == args
    client.answers = lambda *question: (BYTES, *question)
    client.emit("ask-me", *args)
    assert client.event("answer-was") == (BYTES, *args)
    client.end()


def many_stay_in_order(serving, transports):
    client = Client(transports).open(serving.url).connected()
    for first in range(0, 300, BURST):
        for n in range(first, min(300, first + BURST)):
            client.emit("message", n)
        for n in range(first, min(300, first + BURST)):
            assert client.event("message-back") == (n,)
    client.end()


def several_namespaces(serving, transports):
    client = Client(transports)
    names = ["/", "/custom", "/protected"]
    for name in names:
        client.listen(name)
    if MAJOR == 5:
        client.sio.connect(serving.url, auth={"token": "let-me-in"}, namespaces=names, transports=transports, wait=False)
    else:
        namespaces = ["/custom", "/protected?token=let-me-in"]
        client.sio.connect(serving.url, namespaces=namespaces, transports=transports)
    for name in names:
        client.connected(name)
    for n in range(20):
        for name in names:
            assert client.ask("message-with-ack", name, n, namespace=name) == (name, n)
    client.emit("kick-me", namespace="/custom")
    client.event("disconnect", "/custom")
    assert client.ask("message-with-ack", "alive") == ("alive",)
    client.end()


def cut_off_it_comes_back(serving, transports):
    client = Client(transports).open(serving.url, "/custom", "x").connected("/custom")
    assert client.event("auth", "/custom") == ({"token": "x"},)
    client.emit("cut-me", namespace="/custom")
    client.event("disconnect", "/custom")
    if transports == ["polling"]:
        # A close packet is final to this client: it does not come back by itself.
        client.end()
        return
    client.connected("/custom")
    # The namespace of version 4 has lost its query by then: that client does not keep it.
    client.event("auth", "/custom")
    assert client.ask("message-with-ack", 1, namespace="/custom") == (1,)
    client.end()


def idle_stays(serving, transports):
    client = Client(transports).open(serving.url).connected()
    time.sleep(1.5)
    assert client.queues["/", "disconnect"].empty()
    client.end()


def restarts(serving, transports):
    client = Client(transports).open(serving.url, "/custom").connected("/custom")
    for kill in [False, True]:
        serving.stop(kill)
        client.event("disconnect", "/custom")
        serving.start()
        client.connected("/custom")
        assert client.ask("message-with-ack", "again", namespace="/custom") == ("again",)
    client.end()


def main():
    serving = Serving(sys.argv[1:])
    pulse = Pulse(serving.url)
    pulse.start()
    cases = [connects, is_refused, is_let_in, events, acks_both_ways, binary_both_ways, many_stay_in_order]
    cases += [several_namespaces, cut_off_it_comes_back, idle_stays]
    if serving.command:
        cases.append(restarts)
    failed = 0
    for name, transports in TRANSPORTS.items():
        for case in cases:
            line = f"python-socketio {MAJOR}, {name}: {case.__name__.replace('_', ' ')}"
            for left in range(12, 0, -1):
                began = time.monotonic()
                try:
                    case(serving, transports)
                    print("ok", line, flush=True)
                    break
                except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                    if left > 1 and pulse.stalled >= began:
                        continue
                    failed += 1
                    print(f"FAIL {line}: {type(error).__name__} {error}", flush=True)
                    break
    print("all passed" if failed == 0 else f"{failed} failed", flush=True)
    if serving.command:
        serving.stop(kill=True)
    # Threads of clients that a failure left behind must not hold the program.
    sys.stdout.flush()
    os._exit(failed != 0)


main()

#!/usr/bin/env python3
"""Conformance of a WebSocket echo server, over a raw TCP socket (RFC 6455).

    websocket_conformance.py HOST PORT PATH [--groups 1,2,7] [--timeout SECONDS]

Runs the cases of the Autobahn test suite, groups 1 to 7, 9 and 10, against an endpoint that echoes text and binary
messages. The server's limits must allow messages of 16 MiB in 65,536 fragments, or leave group 9 out. Prints a line
for each case and a sum; the exit code is 0 when all have passed. Needs Python 3 and nothing else.

Stricter than the suite in one thing: a connection that is failed must be failed with its close code, not dropped.
"""

import argparse
import base64
import hashlib
import os
import socket
import sys
import time

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Failure(Exception):
    """A case went another way than it should."""


def xor(payload, mask):
    """Masks a payload; as one long number, since Python is slow by bytes."""
    length = len(payload)
    repeated = (mask * (length // 4 + 1))[:length]
    number = int.from_bytes(payload, "little") ^ int.from_bytes(repeated, "little")
    return number.to_bytes(length, "little")


def frame(opcode, payload=b"", fin=True, rsv=0):
    """A masked frame, right or deliberately wrong."""
    if isinstance(payload, str):
        payload = payload.encode()
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    length = len(payload)
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 65536:
        head += bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + length.to_bytes(8, "big")
    mask = os.urandom(4)
    return head + mask + xor(payload, mask)


def fragments(opcode, payload, size):
    """A message in frames of so many bytes."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return [frame(opcode if at == 0 else CONTINUATION, part, fin=at == last) for at, part in enumerate(parts)]


def close_frame(code=1000, reason=b""):
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


class Connection:
    """One connection after its handshake."""

    def __init__(self, host, port, path, timeout=20):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        key = base64.b64encode(os.urandom(16))
        self.socket.sendall(
            b"GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n"
            % (path.encode(), host.encode(), port, key)
        )
        while b"\r\n\r\n" not in self.buffer:
            if not self.read_more():
                raise Failure("connection ended in the handshake")
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        self.buffer = bytearray(rest)
        lines = head.split(b"\r\n")
        if b" 101 " not in lines[0]:
            raise Failure("handshake refused: %r" % lines[0])
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        expected = base64.b64encode(hashlib.sha1(key + GUID).digest())
        if headers.get(b"sec-websocket-accept") != expected:
            raise Failure("wrong Sec-WebSocket-Accept")
        if b"sec-websocket-extensions" in headers:
            raise Failure("an extension was accepted that nobody offered")

    def read_more(self):
        try:
            data = self.socket.recv(1 << 18)
        except (ConnectionResetError, BrokenPipeError):
            return False
        except socket.timeout:
            raise Failure("timed out waiting for the server") from None
        self.buffer += data
        return bool(data)

    def send(self, data, chop=None):
        """Sends bytes, or frames one by one, in chops of so many bytes. A server may have closed before the end."""
        try:
            if isinstance(data, list):
                for part in data:
                    self.send(part, chop)
            elif chop is None:
                self.socket.sendall(data)
            else:
                for at in range(0, len(data), chop):
                    self.socket.sendall(data[at : at + chop])
        except (ConnectionResetError, BrokenPipeError):
            pass

    def take(self, count):
        while len(self.buffer) < count:
            if not self.read_more():
                return None
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read_frame(self):
        """The next frame of the server: (opcode, fin, payload), or None at the end of the stream."""
        head = self.take(2)
        if head is None:
            return None
        if head[0] & 0x70:
            raise Failure("server set a reserved bit")
        if head[1] & 0x80:
            raise Failure("server sent a masked frame")
        length = head[1]
        if length == 126:
            length = int.from_bytes(self.take(2) or b"", "big")
        elif length == 127:
            length = int.from_bytes(self.take(8) or b"", "big")
        payload = self.take(length)
        if payload is None:
            raise Failure("connection ended inside a frame")
        return head[0] & 0x0F, bool(head[0] & 0x80), payload

    def read(self):
        """The next event: (opcode, payload) with fragments joined, or None at the end of the stream."""
        opcode, whole = None, b""
        while True:
            got = self.read_frame()
            if got is None:
                return None
            kind, fin, payload = got
            if kind >= CLOSE:
                if opcode is None:
                    return kind, payload
                raise Failure("control frame inside an echo: not answered at once")
            opcode = kind if opcode is None else opcode
            whole += payload
            if fin:
                return opcode, whole

    def expect(self, expected):
        for opcode, payload in expected:
            if isinstance(payload, str):
                payload = payload.encode()
            got = self.read()
            if got != (opcode, payload):
                raise Failure("expected %s, got %s" % (show((opcode, payload)), show(got)))

    def expect_close(self, codes):
        """A close frame with one of the codes (None: no code), then the end of the stream."""
        got = self.read()
        if got is None or got[0] != CLOSE:
            raise Failure("expected a close, got %s" % show(got))
        code = int.from_bytes(got[1][:2], "big") if got[1] else None
        if code not in codes:
            raise Failure("closed with %s, expected %s" % (code, " or ".join(map(str, codes))))
        after = self.read()
        if after is not None:
            raise Failure("%s after the close" % show(after))

    def quiet(self, seconds):
        """Nothing may come for a while."""
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            if self.buffer or self.socket.recv(1, socket.MSG_PEEK) is not None:
                raise Failure("answered too early")
        except socket.timeout:
            pass
        finally:
            self.socket.settimeout(before)


def show(event):
    if event is None:
        return "the end of the stream"
    opcode, payload = event
    name = {TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}.get(opcode, opcode)
    return "%s of %d bytes %r" % (name, len(payload), payload[:40])


# What a case does with a connection. Each returns a function, so that the tables below stay tables.


def echoes(frames, expected, chop=None):
    """All is answered, then we close with 1000 and the server does the same."""

    def run(connection):
        connection.send(frames if chop or not isinstance(frames, list) else b"".join(frames), chop)
        connection.expect(expected)
        connection.send(close_frame())
        connection.expect_close([1000])

    return run


def by_frames(frames, expected):
    """Like `echoes`, each frame in a send of its own."""

    def run(connection):
        for part in frames:
            connection.send(part)
        connection.expect(expected)
        connection.send(close_frame())
        connection.expect_close([1000])

    return run


def fails(frames, code, expected=(), chop=None):
    """The server answers what came before the fault, then fails the connection."""

    def run(connection):
        connection.send(frames if chop else b"".join(frames), chop)
        connection.expect(expected)
        connection.expect_close([code])

    return run


def closes(frames, codes, expected=()):
    """The frames contain our close: the server answers it, and nothing after it."""

    def run(connection):
        connection.send(b"".join(frames))
        connection.expect(expected)
        connection.expect_close(codes)

    return run


def fails_at_once(stages):
    """The server waits after the first stage and fails the connection with 1007 after the second."""

    def run(connection):
        connection.send(stages[0])
        connection.quiet(0.2)
        connection.send(stages[1])
        connection.expect_close([1007])

    return run


def waits_between(first, answers, second, expected):
    def run(connection):
        connection.send(first)
        connection.expect(answers)
        connection.quiet(0.2)
        connection.send(second)
        connection.expect(expected)
        connection.send(close_frame())
        connection.expect_close([1000])

    return run


def round_trips(opcode, payload, count):
    def run(connection):
        for _ in range(count):
            connection.send(frame(opcode, payload))
            connection.expect([(opcode, payload)])
        connection.send(close_frame())
        connection.expect_close([1000])

    return run


HELLO = "Hello, world!"


def group_1():
    for group, opcode, unit in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for at, length in enumerate((0, 125, 126, 127, 128, 65535, 65536, 65536), 1):
            payload = unit * length
            yield f"1.{group}.{at}", echoes(frame(opcode, payload), [(opcode, payload)], 997 if at == 8 else None)


def group_2():
    odd = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    long = b"\xfe" * 125
    yield "2.1", echoes(frame(PING), [(PONG, b"")])
    yield "2.2", echoes(frame(PING, HELLO), [(PONG, HELLO)])
    yield "2.3", echoes(frame(PING, odd), [(PONG, odd)])
    yield "2.4", echoes(frame(PING, long), [(PONG, long)])
    yield "2.5", fails([frame(PING, long + b"\xfe")], 1002)
    yield "2.6", echoes(frame(PING, long), [(PONG, long)], 1)
    yield "2.7", echoes(frame(PONG), [])
    yield "2.8", echoes(frame(PONG, "unsolicited pong payload"), [])
    yield "2.9", echoes([frame(PONG, "unsolicited"), frame(PING, "ping payload")], [(PONG, "ping payload")])
    ten = [f"payload-{at}" for at in range(10)]
    yield "2.10", echoes([frame(PING, payload) for payload in ten], [(PONG, payload) for payload in ten])
    yield "2.11", echoes([frame(PING, payload) for payload in ten], [(PONG, payload) for payload in ten], 1)


def group_3():
    odd = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    before = [frame(TEXT, HELLO)]
    echo = [(TEXT, HELLO)]
    yield "3.1", fails([frame(TEXT, HELLO, rsv=1)], 1002)
    yield "3.2", fails(before + [frame(TEXT, HELLO, rsv=2), frame(PING)], 1002, echo)
    yield "3.3", fails(before + [frame(TEXT, HELLO, rsv=3), frame(PING)], 1002, echo, 1 << 20)
    yield "3.4", fails(before + [frame(TEXT, HELLO, rsv=4), frame(PING)], 1002, echo, 1)
    yield "3.5", fails([frame(BINARY, odd, rsv=5)], 1002)
    yield "3.6", fails([frame(PING, HELLO, rsv=6)], 1002)
    yield "3.7", fails([frame(CLOSE, rsv=7)], 1002)


def group_4():
    before = [frame(TEXT, HELLO)]
    for group, first in ((1, 3), (2, 11)):
        for at in range(5):
            bad = frame(first + at, HELLO if at in (1, 3) else "")
            name = f"4.{group}.{at + 1}"
            if at < 2:
                yield name, fails([bad], 1002)
            else:
                yield name, fails(before + [bad, frame(PING)], 1002, [(TEXT, HELLO)], 1 if at == 4 else None)


def group_5():
    one, two, both = "fragment1", "fragment2", "fragment1fragment2"
    begin, end = frame(TEXT, one, fin=False), frame(CONTINUATION, two)
    ping, pong = frame(PING, "ping payload"), (PONG, "ping payload")
    echo = [(TEXT, both)]
    yield "5.1", fails([frame(PING, one, fin=False), end], 1002)
    yield "5.2", fails([frame(PONG, one, fin=False), end], 1002)
    yield "5.3", echoes([begin, end], echo)
    yield "5.4", by_frames([begin, end], echo)
    yield "5.5", echoes([begin, end], echo, 1)
    yield "5.6", echoes([begin, ping, end], [pong] + echo)
    yield "5.7", by_frames([begin, ping, end], [pong] + echo)
    yield "5.8", echoes([begin, ping, end], [pong] + echo, 1)
    for first, fin in ((9, True), (12, False)):
        frames = [frame(CONTINUATION, "non-continuation payload", fin=fin), frame(TEXT, HELLO)]
        yield f"5.{first}", fails(frames, 1002)
        yield f"5.{first + 1}", fails(frames, 1002, chop=1 << 20)
        yield f"5.{first + 2}", fails(frames, 1002, chop=1)
    stray = frame(CONTINUATION, "fragment3", fin=False)
    yield "5.15", fails([begin, end, stray, frame(TEXT, "fragment4")], 1002, echo)
    yield "5.16", fails([frame(CONTINUATION, one, fin=False), begin, end] * 2, 1002)
    yield "5.17", fails([frame(CONTINUATION, one), begin, end] * 2, 1002)
    yield "5.18", fails([begin, frame(TEXT, two)], 1002)
    first = [begin, frame(CONTINUATION, two, fin=False), frame(PING, "pongme 1!")]
    second = [
        frame(CONTINUATION, "fragment3", fin=False),
        frame(CONTINUATION, "fragment4", fin=False),
        frame(PING, "pongme 2!"),
        frame(CONTINUATION, "fragment5"),
    ]
    answers, rest = [(PONG, "pongme 1!")], [(PONG, "pongme 2!"), (TEXT, both + "fragment3fragment4fragment5")]
    yield "5.19", waits_between(b"".join(first), answers, b"".join(second), rest)
    yield "5.20", waits_between(first, answers, second, rest)


KOSME = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"


def utf8_sequences():
    """Markus Kuhn's UTF-8 stress test as the suite groups it: (group, valid or None for as Python has it, bytes)."""
    valid, invalid = True, False
    table = [
        (5, valid, [b"hello$world", "hello¢world".encode(), "hello€world".encode(), "hello\U00024b62world".encode(), KOSME]),
        (6, None, [KOSME[:length] for length in range(1, len(KOSME) + 1)]),
        (7, valid, [b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
        (8, invalid, [b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        (9, valid, [b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
        (10, invalid, [b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        (11, valid, [b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"]),
        (11, invalid, [b"\xf4\x90\x80\x80"]),
        (12, invalid, [b"\x80", b"\xbf"]),
        (12, invalid, [(b"\x80\xbf" * 3)[:length] for length in range(2, 7)]),
        (12, invalid, [bytes(range(0x80, 0xBF))]),
    ]
    for first, last in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD)):
        table.append((13, invalid, [b"".join(bytes([byte, 0x20]) for byte in range(first, last))]))
    cut = [b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80"]
    cut += [b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"]
    high, low = (b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"), (b"\xed\xb0\x80", b"\xed\xbf\xbf")
    planes = [chr(plane << 16 | last) for plane in range(1, 17) for last in (0xFFFE, 0xFFFF)]
    table += [
        (14, invalid, cut),
        (15, invalid, [b"".join(cut)]),
        (16, invalid, [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        (17, invalid, [b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"]),
        (18, invalid, [b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"]),
        (19, invalid, [b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"]),
        (20, invalid, list(high) + [b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"]),
        (21, invalid, [one + two for one in high for two in low]),
        (22, valid, [b"\xef\xbf\xbe", b"\xef\xbf\xbf"] + [plane.encode() for plane in planes]),
        (23, valid, [bytes([0xEF, 0xBF, last]) for last in range(0xB9, 0xC0)]),
    ]
    for group, is_valid, sequences in table:
        for sequence in sequences:
            yield group, is_valid, sequence


def is_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def group_6():
    middle = "middle frame payload"
    nothing = frame(TEXT, fin=False)
    yield "6.1.1", echoes(frame(TEXT), [(TEXT, b"")])
    yield "6.1.2", echoes([nothing, frame(CONTINUATION, fin=False), frame(CONTINUATION)], [(TEXT, b"")])
    yield "6.1.3", echoes([nothing, frame(CONTINUATION, middle, fin=False), frame(CONTINUATION)], [(TEXT, middle)])
    umlauts = "Hello-µ@ßöäüàá-UTF-8!!".encode()
    yield "6.2.1", echoes(frame(TEXT, umlauts), [(TEXT, umlauts)])
    yield "6.2.2", echoes([frame(TEXT, umlauts[:15], fin=False), frame(CONTINUATION, umlauts[15:])], [(TEXT, umlauts)])
    yield "6.2.3", by_frames(fragments(TEXT, umlauts, 1), [(TEXT, umlauts)])
    yield "6.2.4", by_frames(fragments(TEXT, KOSME, 1), [(TEXT, KOSME)])
    surrogate = KOSME + b"\xed\xa0\x80edited"
    yield "6.3.1", fails([frame(TEXT, surrogate)], 1007)
    yield "6.3.2", fails(fragments(TEXT, surrogate, 1), 1007)
    # The thirteenth byte, 0x90, makes a code point beyond the last one.
    bad = KOSME + b"\xf4\x90\x80\x80edited"
    yield "6.4.1", fails_at_once([frame(TEXT, bad[:11], fin=False), frame(CONTINUATION, bad[11:15], fin=False)])
    yield "6.4.2", fails_at_once([frame(TEXT, bad[:12], fin=False), frame(CONTINUATION, bad[12:13], fin=False)])
    whole = frame(TEXT, bad)
    start = len(whole) - len(bad)
    yield "6.4.3", fails_at_once([whole[: start + 11], whole[start + 11 : start + 15]])
    yield "6.4.4", fails_at_once([whole[: start + 12], whole[start + 12 : start + 13]])
    counts = {}
    for group, is_valid, sequence in utf8_sequences():
        counts[group] = counts.get(group, 0) + 1
        good = is_utf8(sequence)
        assert is_valid in (None, good), (group, sequence)
        case = echoes(frame(TEXT, sequence), [(TEXT, sequence)]) if good else fails([frame(TEXT, sequence)], 1007)
        yield f"6.{group}.{counts[group]}", case


def group_7():
    done = close_frame()
    long = (b"BAsd7&jh23" * 26215)[: 256 * 1024]
    yield "7.1.1", echoes(frame(TEXT, HELLO), [(TEXT, HELLO)])
    yield "7.1.2", closes([done, frame(CLOSE)], [1000])
    yield "7.1.3", closes([done, frame(PING)], [1000])
    yield "7.1.4", closes([done, frame(TEXT, HELLO)], [1000])
    yield "7.1.5", closes([frame(TEXT, "fragment1", fin=False), done, frame(CONTINUATION, "fragment2")], [1000])
    yield "7.1.6", closes([frame(TEXT, long), frame(TEXT, HELLO), done, frame(PING)], [1000], [(TEXT, long), (TEXT, HELLO)])
    yield "7.3.1", closes([frame(CLOSE)], [None, 1000])
    yield "7.3.2", fails([frame(CLOSE, b"a")], 1002)
    yield "7.3.3", closes([done], [1000])
    yield "7.3.4", closes([close_frame(1000, HELLO.encode())], [1000])
    yield "7.3.5", closes([close_frame(1000, b"*" * 123)], [1000])
    yield "7.3.6", fails([close_frame(1000, b"*" * 124)], 1002)
    yield "7.5.1", fails([close_frame(1000, KOSME + b"\xed\xa0\x80edited")], 1007)
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for at, code in enumerate(valid, 1):
        yield f"7.7.{at}", closes([close_frame(code)], [1000, code])
    for at, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield f"7.9.{at}", fails([close_frame(code)], 1002)
    for at, code in enumerate((5000, 65535), 1):
        yield f"7.13.{at}", closes([close_frame(code)], [1000, 1002, code])


def group_9():
    kib, mib = 1 << 10, 1 << 20
    kinds = ((0, TEXT, b"BAsd7&jh23"), (1, BINARY, b"\xfe\x00\x80BAsd7&j"))

    def payload(unit, length):
        return (unit * (length // len(unit) + 1))[:length]

    for add, opcode, unit in kinds:
        for at, length in enumerate((64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib), 1):
            data = payload(unit, length)
            yield f"9.{1 + add}.{at}", echoes(frame(opcode, data), [(opcode, data)])
    for add, opcode, unit in kinds:
        data = payload(unit, 4 * mib)
        for at, size in enumerate((64, 256, kib, 4 * kib, 16 * kib, 64 * kib, 256 * kib, mib, 4 * mib), 1):
            yield f"9.{3 + add}.{at}", echoes(fragments(opcode, data, size), [(opcode, data)])
    for add, opcode, unit in kinds:
        data = payload(unit, mib)
        for at, chop in enumerate((64, 128, 256, 512, 1024, 2048), 1):
            yield f"9.{5 + add}.{at}", echoes(frame(opcode, data), [(opcode, data)], chop)
    for add, opcode, unit in ((0, TEXT, b"*"), (1, BINARY, b"\xfe")):
        for at, length in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            yield f"9.{7 + add}.{at}", round_trips(opcode, unit * length, 1000)


def group_10():
    payload = b"*" * 65536
    yield "10.1.1", echoes(fragments(TEXT, payload, 1300), [(TEXT, payload)])


GROUPS = {1: group_1, 2: group_2, 3: group_3, 4: group_4, 5: group_5, 6: group_6, 7: group_7, 9: group_9, 10: group_10}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--groups", default=",".join(map(str, GROUPS)), help="comma-separated, all by default")
    parser.add_argument("--timeout", type=float, default=20, help="longest silence of the server, seconds")
    options = parser.parse_args()
    passed = failed = 0
    for group in map(int, options.groups.split(",")):
        for name, run in GROUPS[group]():
            start = time.monotonic()
            connection = None
            try:
                connection = Connection(options.host, options.port, options.path, options.timeout)
                run(connection)
                passed += 1
                verdict = "ok"
            except (Failure, OSError) as error:
                failed += 1
                verdict = "FAILED: %s" % error
            finally:
                if connection is not None:
                    connection.socket.close()
            print(f"{name:<8} {1000 * (time.monotonic() - start):8.1f} ms  {verdict}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""The presence WebSocket as Python clients use it, with the `websockets` library.

    TOKEN_A=… TOKEN_B=… TOKEN_EXPIRED=… TOKEN_BAD=… presence_ws.py ws://127.0.0.1:8080/api/v1

A and B are two users who are not online otherwise. With SECRET, the server's HS256 secret, tokens made by PyJWT are
tried as well. Prints a line for each case; the exit code is 0 when all have passed. OFFLINE_WITHIN: seconds until a user
who left must be offline (the grace and a second; 7 by default).
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import sys
import time
import traceback

import jwt
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 5
OFFLINE_WITHIN = float(os.environ.get("OFFLINE_WITHIN", "7"))
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
CASES = []


def case(title):
    """Names a case; they run in the order of the file."""

    def named(attempt):
        CASES.append((title, attempt))
        return attempt

    return named


def expect(condition, what):
    """As `assert`, and also under -O."""
    if not condition:
        raise AssertionError(what)


def same(got, wanted):
    expect(got == wanted, f"got {got!r}, wanted {wanted!r}")


def user_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"]


def dial(query):
    # Compression is offered, as the library does by default; no pings of its own disturb the cases.
    return connect(f"{BASE}/presence/ws{query}", open_timeout=PATIENCE, close_timeout=PATIENCE, ping_interval=None)


async def receive(socket, patience=PATIENCE):
    """The next frame, as JSON."""
    text = await asyncio.wait_for(socket.recv(), patience)
    expect(isinstance(text, str), "a text frame")
    return json.loads(text)


async def say(socket, **frame):
    await socket.send(json.dumps(frame))


@contextlib.asynccontextmanager
async def online(token, user=None):
    """A connection that has been told `connected`."""
    async with dial(f"?token={token}") as socket:
        wanted = {"type": "connected", "data": {"userId": user or user_of(token), "status": "online"}}
        same(await receive(socket), wanted)
        yield socket


async def closed_with(socket, patience=PATIENCE):
    """The close code, once no frame is left."""
    try:
        frame = await asyncio.wait_for(socket.recv(), patience)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    raise AssertionError(f"a frame instead of the close: {frame!r}")


def is_error(frame):
    same(sorted(frame), ["data", "type"])
    same(frame["type"], "error")
    same(sorted(frame["data"]), ["code", "message"])
    expect(re.fullmatch(r"[A-Z_]+", frame["data"]["code"]), f"a code: {frame}")
    expect(frame["data"]["message"], f"a message: {frame}")


async def presence_of(socket, user, wanted, patience=PATIENCE):
    """Reads frames until one says that the user is online, or is not."""
    until = time.monotonic() + patience
    while True:
        frame = await receive(socket, max(0.001, until - time.monotonic()))
        same(frame["type"], "presence")
        for row in frame["data"]["users"]:
            if row["userId"] == user and row["online"] is wanted:
                same(row["status"], "online" if wanted else "offline")
                expect(row["lastSeen"] is None or TIME.fullmatch(row["lastSeen"]), f"a time: {row}")
                return


@case("connected is the first frame, and a close is echoed")
async def connected():
    async with online(TOKEN_A) as socket:
        await socket.close(1000, "bye")
    same(socket.close_code, 1000)
    async with online(TOKEN_A) as socket:
        await socket.close(4000, "a code of our own")
    same(socket.close_code, 4000)


@case("a heartbeat is acknowledged with the time")
async def heartbeat():
    async with online(TOKEN_A) as socket:
        for extra in ({"activity": True}, {"activity": False}, {}):
            await say(socket, type="heartbeat", **extra)
            ack = await receive(socket)
            same(sorted(ack), ["data", "type"])
            same(ack["type"], "heartbeat_ack")
            same(list(ack["data"]), ["timestamp"])
            stamp = ack["data"]["timestamp"]
            expect(TIME.fullmatch(stamp), f"a time: {stamp}")
            told = time.strptime(stamp, "%Y-%m-%dT%H:%M:%SZ")
            expect(abs(time.mktime(told) - time.mktime(time.gmtime())) < 60, f"the server's time is now: {stamp}")


@case("a ping is answered by a pong without data")
async def ping():
    async with online(TOKEN_A) as socket:
        await say(socket, type="ping")
        same(await receive(socket), {"type": "pong"})


@case("what is not understood gets an error, and the connection goes on")
async def errors():
    async with online(TOKEN_A) as socket:
        for frame in ('{"type":"no-such-type"}', "{}", '{"type":7}', "not JSON", "[]", "", b"\x01\x02\x03"):
            await socket.send(frame)
            is_error(await receive(socket))
        await say(socket, type="ping")
        same(await receive(socket), {"type": "pong"})


@case("a bad token, an expired one, an empty one and none get an error and 4401")
async def refused():
    for query in (f"?token={TOKEN_BAD}", f"?token={TOKEN_EXPIRED}", "?token=", "", "?token=x.y.z"):
        async with dial(query) as socket:
            is_error(await receive(socket))
            same(await closed_with(socket), 4401)


@case("who subscribes sees others come and go")
async def subscription():
    other = user_of(TOKEN_B)
    async with online(TOKEN_A) as socket:
        await say(socket, type="subscribe", userIds=[other])
        first = [await receive(socket), await receive(socket)]
        same(sorted(frame["type"] for frame in first), ["presence", "subscribed"])
        (state,) = next(frame for frame in first if frame["type"] == "presence")["data"]["users"]
        same(state["userId"], other)
        if state["online"]:
            # Whoever ran before may have left B in its grace.
            await presence_of(socket, other, False, OFFLINE_WITHIN)
        async with online(TOKEN_B):
            await presence_of(socket, other, True)
        await presence_of(socket, other, False, OFFLINE_WITHIN)
        await say(socket, type="unsubscribe", userIds=[other])
        same(await receive(socket), {"type": "unsubscribed"})


@case("a second device changes nothing")
async def devices():
    other = user_of(TOKEN_B)
    async with online(TOKEN_A) as socket, online(TOKEN_B):
        await say(socket, type="subscribe", userIds=[other])
        first = [await receive(socket), await receive(socket)]
        same(sorted(frame["type"] for frame in first), ["presence", "subscribed"])
        async with online(TOKEN_B):
            pass
        try:
            frame = await receive(socket, 1)
        except asyncio.TimeoutError:
            return
        raise AssertionError(f"a frame for a second device: {frame}")


@case("a logout is a close")
async def logout():
    async with online(TOKEN_A) as socket:
        await say(socket, type="logout")
        same(await closed_with(socket), 1000)


@case("pings of the protocol are answered, each with its payload")
async def protocol_ping():
    async with online(TOKEN_A) as socket:
        waiters = [await socket.ping(f"ping {number}") for number in range(10)]
        for waiter in waiters:
            await asyncio.wait_for(waiter, PATIENCE)
        await asyncio.wait_for(await socket.ping(b""), PATIENCE)


async def pieces(text, size):
    """Pieces that leave one by one, with something between them."""
    for at in range(0, len(text), size):
        yield text[at : at + size]
        await asyncio.sleep(0)


@case("fragments are put together, down to one character each")
async def fragments():
    async with online(TOKEN_A) as socket:
        for size in (1, 2, 7):
            await socket.send(pieces('{"type":"ping","note":"Grüße, 世界 🌍"}', size))
            same(await receive(socket), {"type": "pong"})
        await socket.send(['{"type":', "", '"ping"', "", "}"])
        same(await receive(socket), {"type": "pong"})


@case("a ping between fragments is answered at once")
async def interleaved():
    async with online(TOKEN_A) as socket:

        async def with_ping():
            yield '{"type":'
            await asyncio.wait_for(await socket.ping("in between"), PATIENCE)
            yield '"ping"}'

        await socket.send(with_ping())
        same(await receive(socket), {"type": "pong"})


def padded(length):
    frame = json.dumps({"type": "ping", "pad": ""})
    return frame.replace('""', '"' + "x" * (length - len(frame)) + '"')


@case("64 KiB are taken, whole or in fragments")
async def longest():
    async with online(TOKEN_A) as socket:
        await socket.send(padded(65_536))
        same(await receive(socket), {"type": "pong"})
        await socket.send(pieces(padded(65_536), 1_000))
        same(await receive(socket), {"type": "pong"})


@case("more than 64 KiB close with 1009, whole or in fragments")
async def too_long():
    for message in (padded(65_537), pieces(padded(70_000), 1_000), b"x" * 100_000):
        async with online(TOKEN_A) as socket:
            # A server that has closed need not read what is left of the message.
            with contextlib.suppress(ConnectionClosed):
                await socket.send(message)
            same(await closed_with(socket), 1009)


@case("tokens that PyJWT makes are accepted, and judged")
async def minted():
    secret = os.environ.get("SECRET")
    if secret is None:
        return
    now = int(time.time())
    good = jwt.encode({"sub": "pyjwt-user", "iat": now, "exp": now + 600}, secret, algorithm="HS256")
    async with online(good, "pyjwt-user"):
        pass
    without_end = jwt.encode({"sub": "pyjwt-user"}, secret, algorithm="HS256")
    other_secret = jwt.encode({"sub": "pyjwt-user", "exp": now + 600}, secret + "x", algorithm="HS256")
    unsigned = jwt.encode({"sub": "pyjwt-user", "exp": now + 600}, None, algorithm="none")
    nobody = jwt.encode({"exp": now + 600}, secret, algorithm="HS256")
    for token in (without_end, other_secret, unsigned, nobody):
        async with dial(f"?token={token}") as socket:
            is_error(await receive(socket))
            same(await closed_with(socket), 4401)


async def main():
    failed = 0
    for number, (title, attempt) in enumerate(CASES, 1):
        try:
            async with asyncio.timeout(4 * (PATIENCE + OFFLINE_WITHIN)) if sys.version_info >= (3, 11) else contextlib.nullcontext():
                await attempt()
        except Exception:
            failed += 1
            print(f"not ok {number} - websockets: {title}")
            print("  " + traceback.format_exc().rstrip().replace("\n", "\n  "))
        else:
            print(f"ok {number} - websockets: {title}")
    print(f"1..{len(CASES)}")
    print(f"# {len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        (BASE,) = sys.argv[1:]
        TOKEN_A, TOKEN_B, TOKEN_EXPIRED, TOKEN_BAD = (
            os.environ[f"TOKEN_{name}"] for name in ("A", "B", "EXPIRED", "BAD")
        )
    except (ValueError, KeyError):
        sys.exit(__doc__)
    sys.exit(asyncio.run(main()))

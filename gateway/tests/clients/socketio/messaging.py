"""The messaging API in real time, as python-socketio clients use it.

    SECRET=… python messaging.py http://127.0.0.1:8080

SECRET signs the tokens of users who are made for each case. Version 5 or 4 of the client is used, whichever is installed.
Prints a line for each case; the exit code is 0 when all passed.
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import sys
import time
import urllib.request
import uuid

import socketio

PATIENCE = 15
MAJOR = 5 if "auth" in socketio.Client.connect.__code__.co_varnames else 4
URL = sys.argv[1].rstrip("/")
# Between packets of one poll, version 4 counts characters where the protocol (and the reference server) counts units of UTF-16.
WORDS = "é 😀" if MAJOR == 5 else "é ß"
TRANSPORTS = {"polling then upgrade": None, "polling": ["polling"], "websocket": ["websocket"]}
EVENTS = ["message:new", "message:edited", "message:deleted", "message:read", "conversation:joined", "user:typing"]
EVENTS += ["user:stopped-typing", "user:online", "user:offline", "users:online", "error", "connect", "disconnect", "connect_error"]


def token(user, seconds=600):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    text = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({"sub": user, "exp": int(time.time()) + seconds})
    mac = hmac.new(os.environ["SECRET"].encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def someone(name):
    return f"{name}-{uuid.uuid4().hex[:8]}"


def call(user, method, path, body=None):
    headers = {"Authorization": f"Bearer {token(user)}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/api/v1{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


class Session:
    def __init__(self, transports, credentials):
        self.sio = socketio.Client(reconnection=False)
        self.queues = {name: queue.Queue() for name in EVENTS}
        for name, events in self.queues.items():
            self.sio.on(name, lambda *args, events=events: events.put(args))
        if MAJOR == 5:
            self.sio.connect(URL, auth={"token": credentials}, transports=transports, wait=False)
        else:
            # Version 4 has no other place for it than the address.
            self.sio.connect(f"{URL}?token={credentials}", transports=transports)

    def connected(self):
        self.hears("connect")
        return self

    def hears(self, name):
        return self.queues[name].get(timeout=PATIENCE)

    def ask(self, name, body):
        answers = queue.Queue()
        self.sio.emit(name, body, callback=answers.put)
        return answers.get(timeout=PATIENCE)

    def leave(self):
        try:
            self.sio.disconnect()
        except Exception:  # noqa: BLE001 - it may be gone already
            pass


def scene(transports):
    ann, bob = someone("ann"), someone("bob")
    conversation = call(ann, "POST", "/conversations", {"participantIds": [bob], "conversationType": "direct"})["id"]
    sessions = [Session(transports, token(user)).connected() for user in [ann, bob, bob]]
    return ann, bob, conversation, sessions


def a_bad_token_is_refused(transports):
    session = Session(transports, "rubbish")
    (error,) = session.hears("connect_error")
    data = {"error": "Unauthorized", "message": "Invalid or expired token", "statusCode": 401}
    assert error == ({"message": data["message"], "data": data} if MAJOR == 5 else data), error
    session.leave()


def messages(transports):
    ann, bob, conversation, sessions = scene(transports)
    ack = sessions[0].ask("message:send", {"conversationId": conversation, "content": WORDS})
    assert ack["success"] is True, ack
    for session in sessions:
        (message,) = session.hears("message:new")
        assert (message["id"], message["senderId"], message["content"]) == (ack["id"], ann, WORDS)
    by_rest = call(bob, "POST", "/messages", {"conversationId": conversation, "content": "by REST"})
    for session in sessions:
        (message,) = session.hears("message:new")
        assert message["id"] == by_rest["id"]
        assert session.queues["message:new"].empty()
    assert sessions[0].ask("message:edit", {"messageId": ack["id"], "content": "changed"})["success"] is True
    assert sessions[1].ask("message:read", {"messageId": ack["id"]})["success"] is True
    assert sessions[0].ask("message:delete", {"messageId": ack["id"]})["success"] is True
    for session in sessions:
        assert session.hears("message:edited")[0]["content"] == "changed"
        assert session.hears("message:read")[0]["userId"] == bob
        assert session.hears("message:deleted")[0]["messageId"] == ack["id"]
        session.leave()


def failures(transports):
    _, _, conversation, sessions = scene(transports)
    for body, status in [({"conversationId": "nothing", "content": "x"}, 404), ({"conversationId": conversation}, 400)]:
        ack = sessions[0].ask("message:send", body)
        assert (ack["success"], ack["statusCode"]) == (False, status), ack
    sessions[0].sio.emit("message:send", {"conversationId": "nothing", "content": "x"})
    assert sessions[0].hears("error")[0]["statusCode"] == 404
    for session in sessions:
        session.leave()


def typing_and_presence(transports):
    ann, bob, conversation, sessions = scene(transports)
    assert sessions[1].ask("conversation:join", {"conversationId": conversation})["success"] is True
    assert sessions[1].hears("conversation:joined") == ({"conversationId": conversation},)
    sessions[0].sio.emit("conversation:join", {"conversationId": conversation})
    sessions[0].sio.emit("typing:start", {"conversationId": conversation})
    assert sessions[1].hears("user:typing") == ({"userId": ann, "conversationId": conversation},)
    sessions[0].leave()
    assert sessions[1].hears("user:stopped-typing") == ({"userId": ann, "conversationId": conversation},)
    while sessions[1].hears("user:offline") != (ann,):
        pass
    for session in sessions[1:]:
        session.leave()


def main():
    failed = 0
    for name, transports in TRANSPORTS.items():
        for case in [a_bad_token_is_refused, messages, failures, typing_and_presence]:
            line = f"python-socketio {MAJOR}, {name}: {case.__name__.replace('_', ' ')}"
            try:
                case(transports)
                print("ok", line, flush=True)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is told
                failed += 1
                print(f"FAIL {line}: {type(error).__name__} {error}", flush=True)
    print("all passed" if failed == 0 else f"{failed} failed", flush=True)
    os._exit(failed != 0)


main()

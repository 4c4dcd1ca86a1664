#!/usr/bin/env python3
"""Writes what each fuzz target starts from into fuzz/corpus: golden vectors, and a few good inputs of each kind."""

import json
import pathlib

FUZZ = pathlib.Path(__file__).parent
ROOT = FUZZ.parent


def seed(target, name, content):
    folder = FUZZ / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(content if isinstance(content, bytes) else content.encode())


def masked(first, payload):
    """A frame of a client; its mask is zero, so that the fuzzer sees what it changes."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else bytes([0xFE]) + len(payload).to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + payload


def frames():
    for path in sorted((ROOT / "schema" / "vectors").glob("*.hex")):
        content = bytes.fromhex(path.read_text())
        target = "frame_server" if path.name.startswith("server") else "frame_client"
        # With its length for the splitter, and without it for the decoder.
        seed(target, path.stem, content[4:])
        if target == "frame_client":
            seed(target, f"{path.stem}-whole", content)


def websockets():
    cut = b"\x02"
    text, ping = masked(0x81, b'{"type":"ping"}'), masked(0x89, b"there?")
    seed("websocket", "text", cut + text)
    seed("websocket", "binary", cut + masked(0x82, bytes(range(200))))
    seed("websocket", "utf8", cut + masked(0x81, "Grüße, 世界 🌍".encode()))
    seed("websocket", "fragments", cut + masked(0x01, "Gr\u00fc".encode()[:3]) + ping + masked(0x80, "\u00fc".encode()[1:]))
    seed("websocket", "close", cut + text + masked(0x88, b"\x03\xe8bye"))
    seed("websocket", "pong", cut + masked(0x8A, b"") + ping)


def polls_and_packets():
    vectors = json.loads((ROOT / "gateway" / "src" / "socketio" / "vectors.json").read_text())
    engine = vectors["engine"]
    for number, vector in enumerate(engine["decode4"]):
        seed("engineio_payload", f"v4-{number}", b"\x00" + bytes.fromhex(vector["body"]))
    for number, vector in enumerate(engine["decode3"]):
        form = b"\x02" if vector["octets"] else b"\x01"
        seed("engineio_payload", f"v3-{number}", form + bytes.fromhex(vector["body"]))
    texts = [vector["text"] for vector in vectors["socket"]["sio4"]["decode"]]
    for number, text in enumerate(texts):
        seed("socketio_packet", f"text-{number}", text)
        seed("socketio_session", f"v5-{number}", f"\x0040\n40/custom,\n4{text}\n~\x04abc")
        seed("socketio_session", f"v4-{number}", f"\x0140/custom?a=b,\n4{text}\n~\x04abc")
    for version in (0, 1):
        # A poll, a message, an upgrade, a message on the socket.
        operations = bytes([version, 0, 1, 2, 3, 52, 97, 6, 1, 10, 1, 0, 1, 26, 1, 7, 3, 52, 98, 12, 3, 1, 2, 13, 1, 11, 1])
        seed("engineio_session", f"upgrade-{version}", operations)
        seed("engineio_session", f"socket-{version}", bytes([version | 4, 7, 3, 52, 98, 11, 1, 7, 2, 51, 14, 1]))


def events():
    # Ids as Muster makes them: the second is the first with a creation time.
    conversation, message = (f"1c5ba5ae-8cb4-8d3f-9c14-{0xF0 << 40 | at:012x}" for at in (0, 1_764_085_500_007))
    place = {"conversationId": conversation}
    messaging = [
        ("conversation:join", place), ("joinConversation", conversation), ("leaveConversation", conversation),
        ("message:send", {**place, "content": "hi", "attachmentUrl": None, "attachmentType": None, "clientMessageId": "m-1"}),
        ("message:send", {**place, "content": "", "attachmentUrl": "http://files.example/a", "attachmentType": "image"}),
        ("sendMessage", {"recipientId": "bob", "content": "hi"}), ("message:edit", {"messageId": message, "content": "new"}),
        ("message:delete", {"messageId": message}), ("message:read", {"messageId": message}), ("conversation:read", place),
        ("typing:start", place), ("typing:stop", place), ("typing", {**place, "isTyping": True}), ("unknown", {}),
    ]
    toward = {"room_id": "42.7", "from": "42", "to": 7}
    trade = [
        ("create_room", {"type": "BS", "buyer": 42, "seller": "7", "shop_id": 3, "creator": "42", "shop": {"name": "Red Shoes"}}),
        ("new_message", {**toward, "type": "IMAGE", "content": "https://h.example/i.png", "client_message_id": "c-1"}),
        ("typing", toward), ("stop_typing", toward), ("verify_user", {"token": "t", "user_id": "42", "user_role": "BUYER"}),
        ("seen_messages", {**toward, "last_message_id": message, "last_message_created_at": "2026-03-30T10:30:00.123Z"}),
        ("seen_messages", {**toward, "last_message_created_at": 1_764_085_500_007}), ("new_message", {**toward, "from": 7, "to": 42}),
    ]
    for target, events in (("messaging_events", messaging), ("trade_events", trade)):
        for number, event in enumerate(events):
            seed(target, str(number), "2" + json.dumps(event))


def configurations():
    every = [line for line in (ROOT / "docs" / "CONFIGURATION.md").read_text().splitlines() if "`" in line]
    seed("config", "empty", "")
    seed("config", "some", '[http]\naddress = "127.0.0.1:0"\norigins = ["https://a.example"]\n\n[presence]\ngrace = "2s"\n')
    seed("config", "wrong", '[http]\nadress = "x"\nhead_time = 5\n[limits]\nmessage_bytes = "64 KiB"\n')
    seed("config", "auth", '[auth]\nsecret = "0123456789abcdef0123456789abcdef"\nidentity_claims = ["sub"]\nleeway = "30s"\n')
    words = sorted({word for line in every for word in line.split("`")[1::2] if len(word) < 40})
    seed("config", "words", "\n".join(f"# {word}" for word in words))


def tokens():
    vectors = json.loads((ROOT / "gateway" / "src" / "auth" / "vectors.json").read_text())
    for number, token in enumerate(vectors["tokens"].values()):
        seed("token", f"whole-{number}", token)
    header = json.dumps({"alg": "HS256", "typ": "JWT"})
    claims = {"sub": "ada", "exp": 1_800_003_600, "iat": 1_799_999_999.25, "nbf": 1, "jti": "t", "iss": "me"}
    seed("token", "signed", f"{header}\n{json.dumps(claims)}")
    seed("token", "signed-more", f"{header}\n" + json.dumps({"userId": 7, "exp": 1.8e9 + 60, "realm": "r", "service": True}))
    seed("token", "query", "room=1&token=a%20b.c.d&x")
    seed("token", "bearer", "Bearer a.b.c")


frames()
websockets()
configurations()
tokens()
polls_and_packets()
events()

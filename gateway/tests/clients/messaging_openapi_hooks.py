"""What schemathesis cannot know: conversations and messages that are there, so that calls also succeed.

Every operation gets an example that must succeed, with things of its own (a call may end what it is about). In what is made up
besides, every other name of a conversation or message in a path is one that exists. Each call's status is written to the file STATUSES,
a line each: `POST /messages 201`.
"""

import itertools
import json
import os
import urllib.request
import zlib

import schemathesis

BASE = os.environ["API"]
TOKEN = os.environ["TOKEN_A"]
numbers = itertools.count()


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{BASE}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def group():
    body = {"participantIds": ["bob", "cat"], "conversationType": "group", "conversationName": f"Group {next(numbers)}"}
    return call("POST", "/conversations", body)["id"]


def message():
    return call("POST", "/messages", {"conversationId": group(), "content": "to be found"})["id"]


# What stays for the whole run.
GROUP, MESSAGE = group(), message()

# Ways to succeed with each operation: the path's parameters, and bodies.
EXAMPLES = {
    "GET /conversations": lambda: ({}, None),
    "POST /conversations": lambda: ({}, {"participantIds": ["bob"], "conversationType": "direct"}),
    "GET /conversations/{id}": lambda: ({"id": GROUP}, None),
    "PUT /conversations/{id}": lambda: ({"id": GROUP}, {"conversationName": "Another name"}),
    "DELETE /conversations/{id}": lambda: ({"id": group()}, None),
    "POST /conversations/{id}/participants": lambda: ({"id": group()}, {"userId": "dan"}),
    "DELETE /conversations/{id}/participants/{participantId}": lambda: ({"id": group(), "participantId": "cat"}, None),
    "POST /messages": lambda: (
        {},
        {"conversationId": GROUP, "content": "Hello"},
        {"conversationId": GROUP, "content": "Ch\u00e0o b\u1ea1n \U0001f600", "clientMessageId": "m-1"},
        {"conversationId": GROUP, "content": "look", "attachmentUrl": "https://files.example/x.png", "attachmentType": "image"},
        {"conversationId": GROUP, "content": "", "attachmentUrl": "https://files.example/x.pdf"},
        {"recipientId": "bob", "content": "only to you"},
    ),
    "GET /messages/{id}": lambda: ({"id": MESSAGE}, None),
    "PUT /messages/{id}": lambda: ({"id": message()}, {"content": "changed"}),
    "DELETE /messages/{id}": lambda: ({"id": message()}, None),
    "POST /messages/{id}/read": lambda: ({"id": MESSAGE}, None),
    "GET /messages/conversation/{conversationId}": lambda: ({"conversationId": GROUP}, None),
    "POST /messages/conversation/{conversationId}/read": lambda: ({"conversationId": GROUP}, None),
    "GET /messages/conversation/{conversationId}/unread-count": lambda: ({"conversationId": GROUP}, None),
}


def name(operation):
    """`POST /messages`, whatever the base path is."""
    return f"{operation.method.upper()} {operation.path.removeprefix(os.environ['BASE_PATH'])}"


@schemathesis.hook
def before_add_examples(ctx, examples):
    path_parameters, *bodies = EXAMPLES[name(ctx.operation)]()
    for body in bodies:
        case = {"path_parameters": path_parameters}
        if body is not None:
            case |= {"body": body, "media_type": "application/json"}
        examples.append(ctx.operation.Case(**case))


def every_other(value):
    return zlib.crc32(repr(value).encode()) % 2 == 0


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    there = {"conversationId": GROUP, "id": MESSAGE if "/messages" in ctx.operation.path else GROUP}
    if not isinstance(path_parameters, dict) or ctx.operation.method.upper() == "DELETE" or not every_other(path_parameters):
        return path_parameters
    return {key: there.get(key, value) for key, value in path_parameters.items()}


@schemathesis.hook
def after_call(ctx, case, response):
    with open(os.environ["STATUSES"], "a", encoding="utf-8") as file:
        file.write(f"{name(case.operation)} {response.status_code}\n")

#!/usr/bin/env python3
"""The messaging API as its own description tells it, called by schemathesis with good and bad input made up from it.

    TOKEN_A=… messaging_openapi.py http://127.0.0.1:8080

No answer may be a server's error, be undescribed, or differ from its description; and every call must have succeeded, too,
as messaging_openapi_hooks.py sees to. The token is a user's; the server must not limit its calls. The exit code is 0 when all
is well.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
import urllib.request

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "use_after_free",
]
TAGS = ["messaging: conversations", "messaging: messages"]
BASE_PATH = "/api/v1"
# Messages that must have been taken: all examples.
SENT = 5


def described(site):
    """The calls that are to be made: `POST /messages`."""
    with urllib.request.urlopen(f"{site}/openapi.json", timeout=30) as answer:
        paths = json.load(answer)["paths"]
    for path, operations in paths.items():
        for method, operation in operations.items():
            if set(TAGS) & set(operation.get("tags", [])):
                yield f"{method.upper()} {path.removeprefix(BASE_PATH)}"


def succeeded(site, statuses):
    """Whether each call succeeded at least once, said in a line for each."""
    counts = collections.Counter()
    with open(statuses, encoding="utf-8") as file:
        for line in file:
            call, status = line.rstrip("\n").rsplit(" ", 1)
            counts[call, int(status)] += 1
    well = True
    for call in described(site):
        good = sum(count for (made, status), count in counts.items() if made == call and status in (200, 201))
        enough = good >= (SENT if call == "POST /messages" else 1)
        well &= enough
        answers = sorted((status, count) for (made, status), count in counts.items() if made == call)
        print(f"{'ok' if enough else 'FAIL'} {call}: succeeded {good} times, of {answers}", flush=True)
    return well


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: messaging_openapi.py http://HOST:PORT")
    site = sys.argv[1]
    here = os.path.dirname(os.path.abspath(__file__))
    command = [
        os.path.join(os.path.dirname(sys.executable), "schemathesis"),
        "run",
        f"{site}/openapi.json",
        *(f"--include-tag={tag}" for tag in TAGS),
        f"--checks={','.join(CHECKS)}",
        f"--header=Authorization: Bearer {os.environ['TOKEN_A']}",
        f"--max-examples={os.environ.get('EXAMPLES', '20')}",
        "--seed=17",
        "--phases=examples,coverage,fuzzing,stateful",
        "--generation-database=none",
        "--warnings=off",
        "--no-color",
        "--suppress-health-check=all",
    ]
    # What it leaves behind goes with the folder.
    with tempfile.TemporaryDirectory() as folder:
        statuses = os.path.join(folder, "statuses")
        env = {
            **os.environ,
            "SCHEMATHESIS_HOOKS": os.path.join(here, "messaging_openapi_hooks.py"),
            "API": f"{site}{BASE_PATH}",
            "BASE_PATH": BASE_PATH,
            "STATUSES": statuses,
        }
        ended = subprocess.run(command, cwd=folder, env=env, check=False).returncode
        well = succeeded(site, statuses)
    sys.exit(ended or (0 if well else 1))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The messaging API as its own description tells it, called by schemathesis with good and bad input made up from it.

    TOKEN_A=… messaging_openapi.py http://127.0.0.1:8080

No answer may be a server's error, be undescribed, or differ from its description. The token is a user's; the server must
not limit its calls. The exit code is 0 when all is well.
"""

import os
import subprocess
import sys
import tempfile

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "use_after_free",
]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: messaging_openapi.py http://HOST:PORT")
    site = sys.argv[1]
    command = [
        os.path.join(os.path.dirname(sys.executable), "schemathesis"),
        "run",
        f"{site}/openapi.json",
        "--include-tag=messaging: conversations",
        "--include-tag=messaging: messages",
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
        sys.exit(subprocess.run(command, cwd=folder, check=False).returncode)


if __name__ == "__main__":
    main()

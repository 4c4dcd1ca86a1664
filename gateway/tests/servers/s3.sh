#!/usr/bin/env bash
# A server that speaks S3, for tests: moto on loopback, which checks the signature of every request.
#
#   s3.sh start [--port P] [--tls on] [--timeout S] DIR
#                                              start in the background, wait until it answers, make a key, and print
#                                              S3_ENDPOINT, S3_REGION, S3_ACCESS_KEY and S3_SECRET_KEY as KEY=value;
#                                              with TLS its certificate is signed by DIR/tls/ca.pem
#   s3.sh stop DIR                             stop it; what it kept in memory is gone
#   s3.sh look DIR BUCKET [KEY]                print as JSON what another client sees: an object, or all and the policy
#   s3.sh fetch                                only install
#
# The packages of s3/requirements.txt go into ${MUSTER_TEST_SERVERS:-target/test-servers}, once. Needs Python with venv, and curl.
set -euo pipefail
# shellcheck source=process.sh
source "$(dirname "${BASH_SOURCE[0]}")/process.sh"

SETTINGS=(PORT TLS)
PORT=29000
TLS=off
REGION=us-east-1
# What is installed is named by what is asked for: another list is another folder.
FOLDER=s3-$(cksum <"$HERE/s3/requirements.txt" | cut -d ' ' -f 1)
# Steps that make the key: until then nobody could sign.
STEPS=3

install_packages() {
    need python3 "on Debian: apt-get install python3-venv"
    say "installing an S3 server (once)"
    python3 -m venv "$1" || die "Python cannot make a virtual environment: on Debian, apt-get install python3-venv"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input -r "$HERE/s3/requirements.txt" >&2 ||
        die "the packages of s3/requirements.txt could not be installed; they need the package registry or a mirror of it"
}

# What curl and boto3 trust.
trust() {
    if [[ -e $1/tls/ca.pem ]]; then export CURL_CA_BUNDLE=$1/tls/ca.pem AWS_CA_BUNDLE=$1/tls/ca.pem; fi
}

answers() { curl -sf -o "$DIR/answer" --max-time 5 "$ENDPOINT/moto-api/"; }

key() {
    "$CACHE/$FOLDER/bin/python" - "$ENDPOINT" "$REGION" <<'PYTHON'
import sys

import boto3

iam = boto3.client(
    "iam", endpoint_url=sys.argv[1], region_name=sys.argv[2], aws_access_key_id="x", aws_secret_access_key="x"
)
iam.create_user(UserName="muster")
key = iam.create_access_key(UserName="muster")["AccessKey"]
allowed = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:*"],"Resource":["*"]}]}'
iam.put_user_policy(UserName="muster", PolicyName="all-of-s3", PolicyDocument=allowed)
print(f"S3_ACCESS_KEY={key['AccessKeyId']}\nS3_SECRET_KEY={key['SecretAccessKey']}")
PYTHON
}

start() {
    local keys secure=()
    read_options "$@"
    need curl "install curl"
    cached "$FOLDER" install_packages
    ENDPOINT=http://127.0.0.1:$PORT
    if [[ $TLS == on ]]; then
        ENDPOINT=https://127.0.0.1:$PORT
        [[ -e $DIR/tls/server.pem ]] || sign "$DIR/tls" IP:127.0.0.1, server
        secure=(-c "$DIR/tls/server.pem" -k "$DIR/tls/server.key")
    fi
    trust "$DIR"
    DEADLINE=$((SECONDS + TIMEOUT))
    if ! running "$DIR"; then
        # Its last argument is the mark.
        launch "$DIR" env INITIAL_NO_AUTH_ACTION_COUNT=$STEPS \
            "$CACHE/$FOLDER/bin/python" -c 'import sys; from moto.server import main; main(sys.argv[1:-1])' \
            -H 127.0.0.1 -p "$PORT" ${secure[@]+"${secure[@]}"} "$DIR/mark"
    fi
    wait_until "$DIR" "an answer from 127.0.0.1:$PORT" answers
    if [[ ! -s $DIR/keys ]]; then
        keys=$(key) || give_up "$DIR" "no key could be made"
        printf '%s=%s\n' S3_ENDPOINT "$ENDPOINT" S3_REGION "$REGION" >"$DIR/keys"
        printf '%s\n' "$keys" >>"$DIR/keys"
    fi
    cat "$DIR/keys"
}

look() {
    (($# >= 2)) || die "look needs a DIR and a BUCKET"
    # shellcheck source=/dev/null
    source "$1/keys"
    trust "$1"
    "$CACHE/$FOLDER/bin/python" "$HERE/s3/look.py" "$S3_ENDPOINT" "$S3_REGION" "$S3_ACCESS_KEY" "$S3_SECRET_KEY" "${@:2}"
}

case ${1:-} in
start) shift && start "$@" ;;
stop)
    [[ $# -eq 2 ]] || die "stop needs a DIR"
    if [[ -d $2 ]]; then stop "$(absolute "$2")" && rm -f "$2/keys"; fi
    ;;
look) shift && look "$@" ;;
fetch) cached "$FOLDER" install_packages ;;
*) usage ;;
esac

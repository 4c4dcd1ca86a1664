# shellcheck shell=bash
# What the scripts beside it share: processes in the background, known by a pid file and a mark, and packages that
# are installed once into the cache. Sourced, never run.
#
# A server is a folder with the files `pid` and `log`. Its mark is a word of its command line that names the folder, so
# that a pid that was given to another process is never taken for the server.

NAME=$(basename "$0" .sh)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
CACHE=${MUSTER_TEST_SERVERS:-$HERE/../../../target/test-servers}
# DEADLINE is set by a script once all is installed: the time limit is that of the start.
LAUNCHED=() SETTINGS=() DIR='' TIMEOUT=60 DEADLINE=0

say() { printf '%s: %s\n' "$NAME" "$*" >&2; }
die() { say "$*"; exit 1; }
usage() { sed -n '2,/^set -euo/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is needed: $2"; }
absolute() { mkdir -p "$1" && (cd "$1" && pwd -P); }

# Reads the options of `start` into the variables that SETTINGS names (--port into PORT), and its argument into DIR.
read_options() {
    local name dir=
    while (($#)); do
        if [[ $1 == --* ]]; then
            name=${1#--} name=${name//-/_} name=${name^^}
            [[ " ${SETTINGS[*]} TIMEOUT " == *" $name "* ]] || die "unknown option $1"
            (($# > 1)) || die "$1 takes a value"
            printf -v "$name" %s "$2"
            shift 2
        else
            [[ -z $dir ]] || die "start takes one DIR"
            dir=$1
            shift
        fi
    done
    [[ -n $dir ]] || die "start needs a DIR"
    DIR=$(absolute "$dir")
}

# An authority in a folder (ca.pem), and what it has signed for each name: for these addresses, and NAME.test.
sign() { # folder addresses name...
    local tls=$1 addresses=$2 name
    shift 2
    need openssl "on Debian: apt-get install openssl"
    mkdir -p "$tls"
    local key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
    {
        openssl req -x509 "${key[@]}" -days 3650 -subj /CN=authority -keyout "$tls/ca.key" -out "$tls/ca.pem"
        for name in "$@"; do
            openssl req "${key[@]}" -subj "/CN=$name" -keyout "$tls/$name.key" -out "$tls/$name.csr"
            openssl x509 -req -in "$tls/$name.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -days 3650 -out "$tls/$name.pem" \
                -extfile <(printf 'subjectAltName=%sDNS:%s.test\n' "$addresses" "$name")
        done
    } 2>"$tls/log" || die "no certificates: $(<"$tls/log")"
}

# A zombie has no command line, so a server that was killed and not yet reaped counts as ended.
has_mark() { # pid folder
    [[ -r /proc/$1/cmdline ]] && tr '\0' '\n' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$2/"
}

# True when the server runs; sets PID.
running() { # folder
    PID=
    [[ -s $1/pid ]] || return 1
    PID=$(<"$1/pid")
    has_mark "$PID" "$1"
}

# Starts a command as the server of a folder, detached. Nothing of the caller stays open in it: no pipe that a `$(...)`
# waits for, no lock of a `flock`.
launch() { # folder command...
    local folder=$1 fd
    shift
    mkdir -p "$folder"
    (
        cd "$folder" || exit
        for fd in /proc/self/fd/*; do
            fd=${fd##*/}
            if ((fd > 2)); then eval "exec $fd>&-"; fi
        done
        exec setsid "$@"
    ) </dev/null >"$folder/log" 2>&1 &
    echo $! >"$folder/pid"
    disown
    LAUNCHED+=("$folder")
}

# Ends what this call launched, shows why, and fails.
give_up() { # folder why...
    local folder=$1 each
    shift
    say "$*"
    if [[ -s $folder/log ]]; then
        say "last lines of $folder/log:"
        tail -n 40 "$folder/log" | cut -c 1-300 >&2
    fi
    for each in "${LAUNCHED[@]}"; do
        if running "$each"; then kill -KILL "$PID" || true; fi
        rm -f "$each/pid"
    done
    exit 1
}

# Repeats a check until it holds, the server ends, or SECONDS reaches DEADLINE.
wait_until() { # folder what check...
    local folder=$1 what=$2
    shift 2
    until "$@"; do
        # The shell has the pid before the new process has its command line.
        running "$folder" || { sleep 0.3 && running "$folder"; } || give_up "$folder" "ended before: $what"
        ((SECONDS < DEADLINE)) || give_up "$folder" "no luck within the time limit: $what"
        sleep 0.1
    done
}

# TERM, and KILL for what is left after ten seconds. The folder and its data stay.
stop() { # folder
    local deadline=$((SECONDS + 10))
    if running "$1"; then kill "$PID" 2>/dev/null || true; fi
    while running "$1"; do
        if ((SECONDS >= deadline)); then kill -KILL "$PID" 2>/dev/null || true; fi
        sleep 0.05
    done
    rm -f "$1/pid"
}

# Runs `make_it PART` once, under a lock, where PART becomes the folder $CACHE/$1. A virtual environment of Python knows
# its own path, so it is made in place and is good when its mark is there.
cached() { # folder make_it
    local lock
    [[ -e $CACHE/$1/made ]] && return
    mkdir -p "$CACHE"
    exec {lock}>"$CACHE/.$1.lock"
    flock "$lock"
    if [[ ! -e $CACHE/$1/made ]]; then
        rm -rf "${CACHE:?}/$1"
        mkdir -p "$CACHE/$1"
        "$2" "$CACHE/$1"
        touch "$CACHE/$1/made"
    fi
    exec {lock}>&-
}

trap 'give_up "${LAUNCHED[0]:-/}" interrupted' INT TERM

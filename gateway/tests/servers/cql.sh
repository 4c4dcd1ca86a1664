#!/usr/bin/env bash
# A real CQL server for tests: Apache Cassandra, one node or a ring, on loopback.
#
#   cql.sh start [options] DIR   start in the background, wait until every node answers CQL, and print CQL_ADDR, CQL_NODES,
#                                CQL_DC and CQL_PID_1.. as KEY=value. On a DIR that is already set up: start the nodes
#                                that are down, with the settings and data they had
#   cql.sh stop DIR              stop all nodes of DIR; the data stays, remove DIR to forget it
#   cql.sh fetch                 only download
#
# Options of start, kept in DIR from the first start on:
#   --nodes N            ring size, 1 to 9; node i listens on PREFIX.i                                  (default 1)
#   --prefix A.B.C       first three parts of the loopback addresses                                    (default 127.0.0)
#   --port P             CQL port, the same on every node                                               (default 29042)
#   --storage-port P     port between the nodes; P+1 must be free too                                   (default 29700)
#   --heap MB            Java heap of each node                                                         (default 640)
#   --commitlog MODE     periodic, or batch: synced before each acknowledgement                         (default periodic)
#   --tls off|on         on: clients need TLS and a certificate; DIR/tls has the authority's (ca.pem) and one for a client
#                        (client.pem, client.key)                                                       (default off)
#   --timeout S          give up a start after so many seconds                                          (default 180)
#   --owner PID          stop it, and remove DIR, when this process has ended: for tests that have no end of their own
#
# The pid of node i is in DIR/node<i>/pid, its log in DIR/node<i>/log. The jars go into
# ${MUSTER_TEST_SERVERS:-target/test-servers}, once. Needs a Java 17 or 11 runtime, and Maven for the first download.
set -euo pipefail
# shellcheck source=process.sh
source "$(dirname "${BASH_SOURCE[0]}")/process.sh"

VERSION=5.0.9
PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.8.1
FOLDER=cassandra-$VERSION
LIB=$CACHE/$FOLDER/lib
KEPT=(NODES PORT STORAGE_PORT PREFIX HEAP COMMITLOG TLS)
SETTINGS=("${KEPT[@]}" OWNER)
OWNER='' NODES=1 PORT=29042 STORAGE_PORT=29700 PREFIX=127.0.0 HEAP=640 COMMITLOG=periodic TLS=off TIMEOUT=180

java_17() {
    local java
    for java in ${JAVA_HOME:+"$JAVA_HOME/bin/java"} java /usr/lib/jvm/*-17-*/bin/java /usr/lib/jvm/*-11-*/bin/java; do
        if command -v "$java" >/dev/null 2>&1 && "$java" -version 2>&1 | grep -qE 'version "(17|11)[."]'; then
            command -v "$java"
            return
        fi
    done
    die "no Java 17 or 11: on Debian, apt-get install openjdk-17-jre-headless (or set JAVA_HOME)"
}

download() { # folder
    need mvn "on Debian: apt-get install maven"
    say "downloading Apache Cassandra $VERSION (once)"
    cat >"$1/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>muster.test</groupId>
  <artifactId>cql-server</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.cassandra</groupId>
      <artifactId>cassandra-all</artifactId>
      <version>$VERSION</version>
    </dependency>
  </dependencies>
</project>
POM
    if ! (cd "$1" && mvn -q -B -C "$PLUGIN:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$1/lib") \
        >"$1/fetch.log" 2>&1; then
        tail -n 40 "$1/fetch.log" >&2
        die "the download failed; it needs Maven Central or a mirror of it"
    fi
    [[ -e $1/lib/cassandra-all-$VERSION.jar ]] || die "the download is not complete: $1"
    rm -f "$1"/lib/*-osx-*.jar "$1"/lib/*-windows-*.jar "$1"/lib/*-riscv64.jar
}

# True when a CQL server at $1:$2 answers an OPTIONS frame with a SUPPORTED frame, or a TLS handshake.
answers() {
    local reply
    if [[ $TLS == on ]]; then
        timeout 5 openssl s_client -connect "$1:$2" -CAfile "$DIR/tls/ca.pem" -verify_return_error \
            -cert "$DIR/tls/client.pem" -key "$DIR/tls/client.key" </dev/null >/dev/null 2>&1
        return
    fi
    # shellcheck disable=SC2016 # the inner shell expands them
    reply=$(timeout 5 bash -c '
        exec 3<>"/dev/tcp/$0/$1" || exit 1
        printf "\x04\x00\x00\x00\x05\x00\x00\x00\x00" >&3
        head -c 5 <&3 | od -An -tx1' "$1" "$2" 2>/dev/null) || return 1
    [[ $reply == " 84 00 00 00 06" ]]
}

# An authority, and what it has signed: for all nodes (their addresses, and server.test), and for a client.
certify() {
    local tls=$DIR/tls addresses='' n
    for ((n = 1; n <= NODES; n++)); do addresses+=IP:$PREFIX.$n,; done
    sign "$tls" "$addresses" server client
    cat "$tls/server.key" "$tls/server.pem" >"$tls/node.pem"
}

configure() { # node number
    local i=$1 node=$DIR/node$1 seeds='' n token
    mkdir -p "$node/data" "$node/tmp"
    for ((n = 1; n <= NODES; n++)); do seeds+=${seeds:+,}$PREFIX.$n:$STORAGE_PORT; done
    # Evenly spaced Murmur3 tokens; 2^64/N does not fit a shell integer, so step by halves.
    token=$((-9223372036854775807 + (9223372036854775807 / NODES) * 2 * (i - 1)))
    cat >"$node/cassandra.yaml" <<YAML
cluster_name: muster-test-$PREFIX-$PORT
num_tokens: 1
initial_token: $token
auto_bootstrap: false
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
listen_address: $PREFIX.$i
rpc_address: $PREFIX.$i
storage_port: $STORAGE_PORT
ssl_storage_port: $((STORAGE_PORT + 1))
start_native_transport: true
native_transport_port: $PORT
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "$seeds"
data_file_directories: ["$node/data/data"]
commitlog_directory: $node/data/commitlog
hints_directory: $node/data/hints
saved_caches_directory: $node/data/saved_caches
$(if [[ $COMMITLOG == batch ]]; then
    printf 'commitlog_sync: batch\n'
else
    printf 'commitlog_sync: periodic\ncommitlog_sync_period: 10s\n'
fi)
commitlog_total_space: 256MiB
# As a default ScyllaDB node has them.
batch_size_warn_threshold: 128KiB
batch_size_fail_threshold: 1024KiB
storage_compatibility_mode: NONE
disk_failure_policy: die
commit_failure_policy: die
auto_snapshot: false
hinted_handoff_enabled: true
authenticator: AllowAllAuthenticator
authorizer: AllowAllAuthorizer
memtable_heap_space: 96MiB
memtable_offheap_space: 96MiB
key_cache_size: 8MiB
file_cache_size: 32MiB
networking_cache_size: 32MiB
concurrent_reads: 16
concurrent_writes: 16
concurrent_counter_writes: 8
concurrent_compactors: 1
$(if [[ $TLS == on ]]; then
    printf 'client_encryption_options:\n  enabled: true\n  optional: false\n  require_client_auth: true\n'
    printf '  ssl_context_factory:\n    class_name: org.apache.cassandra.security.PEMBasedSslContextFactory\n'
    printf '  keystore: %s\n  keystore_password: ""\n  truststore: %s\n' "$DIR/tls/node.pem" "$DIR/tls/ca.pem"
fi)
read_request_timeout: 5s
write_request_timeout: 5s
range_request_timeout: 10s
cas_contention_timeout: 2s
YAML
    cat >"$node/logback.xml" <<'XML'
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="OUT"/></root>
</configuration>
XML
}

launch_node() { # node number, java
    local node=$DIR/node$1 java=$2 flags=() name
    local exports=(
        java.base/jdk.internal.misc java.management.rmi/com.sun.jmx.remote.internal.rmi
        java.rmi/sun.rmi.registry java.rmi/sun.rmi.server java.sql/java.sql java.base/java.lang.ref
        jdk.unsupported/sun.misc jdk.compiler/com.sun.tools.javac.file jdk.attach/sun.tools.attach
    )
    local opens=(
        java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.ref
        java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module
        java.base/jdk.internal.util.jar jdk.management/com.sun.management.internal java.base/sun.nio.ch
        java.base/java.io java.base/java.lang.reflect jdk.compiler/com.sun.tools.javac java.base/java.lang
        java.base/java.util java.base/java.nio java.base/java.util.concurrent java.base/java.util.concurrent.atomic
    )
    for name in "${exports[@]}"; do flags+=(--add-exports "$name=ALL-UNNAMED"); done
    for name in "${opens[@]}"; do flags+=(--add-opens "$name=ALL-UNNAMED"); done
    flags+=(
        -javaagent:"$LIB"/jamm-0.4.0.jar
        -Xms128m -Xmx"${HEAP}m" -XX:MaxDirectMemorySize=256m -Xss512k
        -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:+ExitOnOutOfMemoryError -XX:-UsePerfData -Xshare:auto
        -Djdk.attach.allowAttachSelf=true
        -Dio.netty.tryReflectionSetAccessible=true
        -Dio.netty.allocator.useCacheForAllThreads=true -Dio.netty.allocator.maxOrder=11
        -Djava.io.tmpdir="$node/tmp" -Djna.tmpdir="$node/tmp" -Djava.net.preferIPv4Stack=true
        -Dlogback.configurationFile="file://$node/logback.xml"
        -Dcassandra.config="file://$node/cassandra.yaml"
        -Dcassandra.storagedir="$node/data" -Dcassandra.logdir="$node" -Dcassandra-foreground=yes
        -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=1000
        -Dcassandra.superuser_setup_delay_ms=0 -Dcassandra.shutdown_announce_in_ms=100
        -Dcassandra.memtable.row_overhead_size=180
    )
    launch "$node" "$java" "${flags[@]}" -cp "$LIB/*" org.apache.cassandra.service.CassandraDaemon
}

# True when the last word of node $1's log about node $2 is that it is up.
sees_up() {
    grep -E "InetAddress /$PREFIX\.$2:$STORAGE_PORT is now (UP|DOWN)" "$DIR/node$1/log" | tail -n 1 | grep -q 'is now UP'
}

free() { # host port
    if (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; then
        die "$1:$2 is taken by another process: choose another --port, --storage-port or --prefix"
    fi
}

# What DIR was set up with counts: its data belongs to these addresses.
keep_settings() {
    local name given
    if [[ -s $DIR/settings ]]; then
        for name in "${KEPT[@]}"; do
            given=${!name}
            # shellcheck source=/dev/null
            source <(grep "^$name=" "$DIR/settings")
            [[ -z ${ASKED[$name]:-} || $given == "${!name}" ]] ||
                die "$DIR was set up with $name=${!name}: stop it and remove it to change that"
        done
        return
    fi
    local i
    if [[ $TLS == on ]]; then certify; fi
    for ((i = 1; i <= NODES; i++)); do configure "$i"; done
    for name in "${KEPT[@]}"; do printf '%s=%q\n' "$name" "${!name}"; done >"$DIR/settings"
}

start() {
    local i j java lock started=() nodes='' each
    declare -A ASKED=()
    for each in "$@"; do
        if [[ $each == --* ]]; then each=${each#--} each=${each//-/_} ASKED[${each^^}]=1; fi
    done
    read_options "$@"
    # Two starts of one DIR at a time: the second waits, then finds it running.
    exec {lock}>"$DIR/.lock"
    flock "$lock"
    [[ $NODES =~ ^[1-9]$ ]] || die "--nodes takes 1 to 9"
    [[ $PREFIX =~ ^127\.[0-9]+\.[0-9]+$ ]] || die "--prefix takes three parts of a loopback address"
    [[ $COMMITLOG =~ ^(periodic|batch)$ ]] || die "--commitlog takes periodic or batch"
    [[ $TLS =~ ^(on|off)$ ]] || die "--tls takes on or off"
    java=$(java_17)
    cached "$FOLDER" download
    keep_settings
    DEADLINE=$((SECONDS + TIMEOUT))
    for ((i = 1; i <= NODES; i++)); do
        running "$DIR/node$i" && continue
        free "$PREFIX.$i" "$PORT"
        free "$PREFIX.$i" "$STORAGE_PORT"
        started+=("$i")
    done
    for i in "${started[@]}"; do launch_node "$i" "$java"; done
    for ((i = 1; i <= NODES; i++)); do
        wait_until "$DIR/node$i" "an answer from $PREFIX.$i:$PORT" answers "$PREFIX.$i" "$PORT"
    done
    # A node that was just started has to see all others, and has to be seen by them.
    for i in "${started[@]}"; do
        for ((j = 1; j <= NODES; j++)); do
            if ((i != j)); then
                wait_until "$DIR/node$i" "node $i seeing node $j" sees_up "$i" "$j"
                wait_until "$DIR/node$j" "node $j seeing node $i" sees_up "$j" "$i"
            fi
        done
    done
    if [[ $OWNER ]]; then launch "$DIR/owner" bash "$HERE/cql.sh" watch "$OWNER" "$DIR"; fi
    for ((i = 1; i <= NODES; i++)); do nodes+=${nodes:+,}$PREFIX.$i:$PORT; done
    printf 'CQL_ADDR=%s\nCQL_NODES=%s\nCQL_DC=datacenter1\n' "$PREFIX.1:$PORT" "$nodes"
    for ((i = 1; i <= NODES; i++)); do printf 'CQL_PID_%d=%s\n' "$i" "$(<"$DIR/node$i/pid")"; done
}

stop_all() { # folder
    local node
    # All are told first: a ring's nodes end together.
    for node in "$1"/node*; do
        if running "$node"; then kill "$PID" 2>/dev/null || true; fi
    done
    for node in "$1"/node*; do stop "$node"; done
}

# Waits for a process to end, then leaves nothing behind. Not for typing: `start --owner` does it.
watch() { # pid folder
    while kill -0 "$1" 2>/dev/null; do sleep 1; done
    stop_all "$2"
    rm -rf "${2:?}"
}

case ${1:-} in
watch) watch "$2" "$3" ;;
start) shift && start "$@" ;;
stop)
    [[ $# -eq 2 ]] || die "stop needs a DIR"
    if [[ -d $2 ]]; then stop_all "$(absolute "$2")"; fi
    ;;
fetch) cached "$FOLDER" download ;;
*) usage ;;
esac

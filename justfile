# What one does with this repository. `just` lists it.

default:
    @just --list

# Everything that a change must pass.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    cargo test --workspace

# All tests.
test:
    cargo test --workspace

# The parts together, on the real binary.
e2e:
    cargo test -p tests --test e2e --test sdk --test browser

# Two releases of each client SDK in both wire forms, and a table of what passed.
sdk:
    cargo test -p tests --test sdk -- --nocapture

# Kills the server under load, so many times.
kill rounds="50":
    TIDINGS_KILL_ROUNDS={{rounds}} cargo test -p tests --test durability -- --nocapture

# Kills and freezes nodes, Kafka and Cassandra under load, on so many seeds. TIDINGS_SEED names the first.
faults seeds="20":
    TIDINGS_FAULT_SEEDS={{seeds}} cargo test -p tests --test faults -- --nocapture

# Kafka and Cassandra on this machine, without Docker, until Ctrl-C; `just up --help` has the ports.
up *args:
    cargo run -q --release -p tests --bin servers -- up {{args}}

# Ends an `up` that runs elsewhere.
down:
    cargo run -q --release -p tests --bin servers -- down

# The suites of log and history on real servers, and the servers themselves.
real:
    cargo test -p tests --test servers --test kafka --test cassandra

# Frames that no client would send, for so many minutes; needs `cargo install cargo-fuzz`.
fuzz minutes="10":
    cargo fuzz run --sanitizer none frames -- -max_total_time=$(({{minutes}} * 60)) -max_len=4096 -timeout=10

# The console's own tests.
console:
    cd server/console && node --test

# The real servers, next to what their own clients can do: `just bench-servers --json`, `--help` says more.
bench-servers *args:
    cargo run --release -p tests --bin bench-servers -- {{args}}

# What this server does, next to what the machine can: all measurements of `tidings bench`, one after the other.
bench:
    cargo build --release -p server
    for what in post ingest project fanout scale cores unwatched idle connect slow resume storm replay; do echo; echo "# $what"; target/release/tidings bench $what || exit 1; done

# Sessions at this server and at two of others, next to one write for each: `just bench-peers --json`, `--help` says more.
bench-peers *args:
    mkdir -p target/peers
    cd tests/load/peers && go build -o ../../../target/peers/ ./centrifuge ./gin
    cargo run --release -p tests --bin bench-peers -- {{args}}

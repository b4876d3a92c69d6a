# What a developer types. `just` alone lists it.

[private]
default:
    @just --list --unsorted

# The product at work, offline
demo *arguments:
    cargo run --release -- demo {{ arguments }}

# Every test, in the dev profile; installs what they need into .tools
test:
    tests/run

# Tests of one crate: just check grants
check crate:
    cargo test --package portcullis-{{ crate }}

# The house rules alone
tidy:
    cargo test --package portcullis-tests --test tidy

# Every ratio: requests, instances, records, start, memory, growth; or one row of them
bench row="":
    cargo run --release --package portcullis-bench -- {{ row }}

# `read` beside airbyte-cdk, dlt and singer-sdk on one mock; takes --page, --rounds, --records
bench-read *arguments:
    cargo build --release
    tests/bench/peers/run {{ arguments }}

# Two GiB down and up through a guest of 64 MiB, with a fault each 100 MiB: minutes, and 2 GiB of disk
large:
    cargo build --workspace --all-targets --locked
    PORTCULLIS_TESTS_BUILT=1 LARGE_MIB=2048 cargo test --workspace --locked --test large a_body_larger -- --nocapture

# Formats host, SDK, connectors and guests
fmt:
    cargo fmt --all
    cargo fmt --all --manifest-path sdk/rust/Cargo.toml
    cargo fmt --all --manifest-path connectors/Cargo.toml
    cargo fmt --all --manifest-path tests/guests/Cargo.toml
    cargo fmt --all --manifest-path tests/fuzz/Cargo.toml

# Writes docs/authors/wit.md and manifest.md anew, from the WIT and from the manifest's keys
references:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo test --quiet --package portcullis-tests --test tidy references || true
    for made in docs/authors/*.new; do [[ ! -e $made ]] || mv "$made" "${made%.new}"; done
    cargo test --quiet --package portcullis-tests --test tidy references

# Formatting and clippy as .ci/run checks them
lint:
    .ci/run lint

# Builds every connector into ./registry
connectors:
    cargo run --release -- build connectors/stripe
    cargo run --release -- build connectors/rest

# The Debian package: target/debian
package:
    cargo build --release
    packaging/debian/build

# The package in a clean Debian: installed, serving as its own user, removed, purged; needs root and debootstrap
package-test: package
    packaging/debian/test target/debian/portcullis_*.deb

# All that a change has to pass
ci:
    .ci/run

# The long form of the property tests: CASES rules printed and read, CASES pairs of which one may cover the other
properties cases="1000000":
    PROPTEST_CASES={{ cases }} cargo test --release --package portcullis-grants cover::tests

# The long form of the canary: RUNS through decode, echo scan, log and trace
canary runs="1000000":
    PROPTEST_CASES={{ runs }} cargo test --release --package portcullis-egress scan::tests::fuzzed_runs

# Half a minute of each fuzz target
fuzz-smoke: (fuzz "0.5")

# MINUTES of each fuzz target, or of those that are named: just fuzz 60 url_rule
fuzz minutes="10" *targets:
    tests/fuzz/run {{ minutes }} {{ targets }}

# Every compile bomb, and COUNT components of wasm-smith, wasm-mutate and chance through the compile door: minutes
hostile-binaries count="2000":
    cargo build --workspace --all-targets --locked
    PORTCULLIS_TESTS_BUILT=1 HOSTILE_BINARIES={{ count }} cargo test --workspace --locked --test guests -- --nocapture compile_bombs generated

# Mutation testing of what decides: hours, `just mutants host/grants/src/cover.rs` for one file; survivors: tests/mutants.md
mutants +files="host/grants/src/** host/egress/src/headers.rs host/egress/src/echo.rs host/egress/src/echo/** host/egress/src/scan.rs host/egress/src/credential.rs":
    #!/usr/bin/env bash
    set -euo pipefail
    tests/tool cargo-mutants 27.1.0
    # The copy that is mutated looks for the vectors beside itself, as we do.
    export TMPDIR=$(mktemp -d) PATH=$PWD/.tools/bin:$PATH
    trap 'rm -rf "$TMPDIR"' EXIT
    ln -s "$(realpath ../shared)" "$TMPDIR/shared"
    # Each build small, each run short and the same, and no mutant leaves a case for the next.
    export CARGO_INCREMENTAL=1 CARGO_PROFILE_DEV_DEBUG=0 PROPTEST_CASES=64 PROPTEST_RNG_SEED=1
    export PROPTEST_MAX_SHRINK_ITERS=0 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1
    arguments=()
    set -f # patterns are cargo-mutants' own
    for file in {{ files }}; do arguments+=(--file "$file"); done
    cargo mutants --package portcullis-grants --package portcullis-egress "${arguments[@]}" --timeout 60 --cargo-test-arg=--lib --output target

# What a build is made of, as CycloneDX beside each Cargo.toml
sbom:
    tests/tool cargo-cyclonedx 0.5.9
    PATH=$PWD/.tools/bin:$PATH cargo cyclonedx --format json --spec-version 1.5

# The release binary of what is committed: the same bytes from any folder
release:
    #!/usr/bin/env bash
    set -euo pipefail
    # What a macro is told of paths is part of the hash of its crate, so it is built at one place, wherever it lies. Cargo reads
    # the config of each folder above that too: none of them may be a stranger's.
    place=/opt/portcullis-release/build
    mkdir -p -m 755 "${place%/*}" || { echo "make it once: sudo install -d -o $(id -un) ${place%/*}" >&2; exit 1; }
    mkdir -m 700 "$place" || { echo "another build is under way, or was killed: then remove $place" >&2; exit 1; }
    trap 'rm -rf "$place"' EXIT
    git archive HEAD | tar -x -C "$place"
    # Nor does the environment of whoever types say how it is built: it gets what finds cargo, and a way to the network.
    kept=()
    for name in PATH HOME CARGO_HOME RUSTUP_HOME CARGO_NET_OFFLINE HTTPS_PROXY https_proxy SSL_CERT_FILE CARGO_HTTP_CAINFO; do
        if [[ -v $name ]]; then kept+=("$name=${!name}"); fi
    done
    (cd "$place" && env -i "${kept[@]}" RUSTFLAGS="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        cargo build --release --locked --bin portcullis --target-dir target)
    install -D "$place/target/release/portcullis" target/reproducible/portcullis
    sha256sum target/reproducible/portcullis

# Builds the release twice, from two folders, and compares the bytes
reproducible:
    #!/usr/bin/env bash
    set -euo pipefail
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    # Both at once: what is committed meanwhile is another source.
    for name in one a-second-longer-one; do git clone --quiet . "$scratch/$name"; done
    for name in one a-second-longer-one; do (cd "$scratch/$name" && just release); done
    cmp "$scratch"/*/target/reproducible/portcullis

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

# Formats host, SDK, connectors and guests
fmt:
    cargo fmt --all
    cargo fmt --all --manifest-path sdk/rust/Cargo.toml
    cargo fmt --all --manifest-path connectors/Cargo.toml
    cargo fmt --all --manifest-path tests/guests/Cargo.toml

# Formatting and clippy as .ci/run checks them
lint:
    .ci/run lint

# Builds every connector into ./registry
connectors:
    cargo run --release -- build connectors/stripe
    cargo run --release -- build connectors/rest

# All that a change has to pass
ci:
    .ci/run

//! What a guest must not get away with, and looks at the world that must find it empty.

use crate::{
    Error, ErrorKind,
    actions::{size, text},
    fault, requests, state,
};
use serde_json::{Value, json};
use std::{hint::black_box, time::Duration};
use wasip2::{
    clocks::{monotonic_clock, wall_clock},
    random, sockets,
};

pub fn act(action: &str, order: &Value) -> Result<Value, Error> {
    Ok(match action {
        "spin" => loop {
            black_box(0);
        },
        "work" => json!({ "sum": work(size(order, "rounds")) }),
        "allocate" => json!({ "bytes": allocate(order) }),
        "recurse" => json!({ "depth": recurse(0) }),
        "panic" => panic!("{}", text(order, "message")),
        "unreachable" => core::arch::wasm32::unreachable(),
        "divide" => json!({ "quotient": 1 / black_box(size(order, "by")) }),
        "exit" => exit(order),
        "print" => print(order),
        "random" => random(order),
        "handles" => {
            let kept: Vec<_> =
                (0..size(order, "n")).map(|_| monotonic_clock::subscribe_duration(1)).collect();
            json!({ "handles": kept.len() })
        }
        "host-calls" => {
            let key = order["key"].as_str().unwrap_or("key");
            for _ in 0..size(order, "n") {
                let _any = state::get(key);
            }
            json!({})
        }
        "clock" => clock(),
        "sleep" => {
            std::thread::sleep(Duration::from_millis(size(order, "ms") as u64));
            json!({})
        }
        "environment" => environment(),
        "sockets" => sockets_of_all_kinds(),
        "memory-scan" => {
            // What a request leaves in memory is what is looked for.
            let before =
                if order["before"].is_object() { requests::send_by(&order["before"]) } else { Value::Null };
            let halves = order["halves"].as_array().map(Vec::as_slice).unwrap_or_default();
            let found: u64 = halves
                .iter()
                .map(|pair| scan(pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default()))
                .sum();
            let one = order["first"].is_string().then(|| scan(text(order, "first"), text(order, "second")));
            json!({ "found": found + one.unwrap_or_default(), "before": before["status"] })
        }
        other => return Err(fault(ErrorKind::InvalidInput, format!("no action `{other}`"))),
    })
}

#[expect(clippy::disallowed_macros, reason = "a guest's stdout and stderr are log lines of the host")]
fn print(order: &Value) -> Value {
    let line = text(order, "text");
    for _ in 0..order["n"].as_u64().unwrap_or(1) {
        if order["error"].as_bool() == Some(true) { eprintln!("{line}") } else { println!("{line}") }
    }
    json!({})
}

#[expect(clippy::disallowed_methods, reason = "a guest that leaves in the middle of a call")]
fn exit(order: &Value) -> ! {
    std::process::exit(i32::try_from(size(order, "code")).unwrap_or(1))
}

/// CPU time that ends.
fn work(rounds: usize) -> u64 {
    (0..rounds as u64)
        .fold(1, |sum, n| black_box(sum.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(n)))
}

/// `{"bytes": …}`, in pieces, so that the limit is met on the way. `{"wait-at": …, "key": …}`: having so much, it looks `key` up
/// in its state, which may take as long as the host likes.
fn allocate(order: &Value) -> usize {
    const PIECE: usize = 1 << 20;
    let wait_at = order["wait-at"].as_u64().map(|bytes| bytes as usize / PIECE);
    let mut kept = Vec::new();
    while kept.len() * PIECE < size(order, "bytes") {
        if wait_at == Some(kept.len()) {
            let _any = state::get(text(order, "key"));
        }
        kept.push(black_box(vec![1_u8; PIECE]));
    }
    kept.len() * PIECE
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[black_box(7)]
}

fn random(order: &Value) -> Value {
    let n = size(order, "n") as u64;
    json!({
        "secure": random::random::get_random_bytes(n),
        "insecure": random::insecure::get_insecure_random_bytes(n),
        "seed": format!("{:?}", random::insecure_seed::insecure_seed()),
    })
}

fn clock() -> Value {
    let wall = wall_clock::now();
    json!({
        "wall-seconds": wall.seconds,
        "wall-nanoseconds": wall.nanoseconds,
        "monotonic": monotonic_clock::now(),
        "monotonic-resolution": monotonic_clock::resolution(),
    })
}

/// All of it must be empty.
#[expect(clippy::disallowed_methods, reason = "a guest that looks for an environment must find none")]
fn environment() -> Value {
    let variables: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let arguments: Vec<String> = std::env::args().collect();
    let folders: Vec<String> =
        wasip2::filesystem::preopens::get_directories().into_iter().map(|(_, path)| path).collect();
    let mut line = String::new();
    let read =
        std::io::stdin().read_line(&mut line).map_or(-1, |read| i64::try_from(read).unwrap_or(i64::MAX));
    json!({
        "variables": variables,
        "arguments": arguments,
        "folders": folders,
        "stdin": read,
        "file": std::fs::read("/etc/passwd").is_ok(),
        "cwd": wasip2::cli::environment::initial_cwd(),
    })
}

/// Each must be refused.
fn sockets_of_all_kinds() -> Value {
    use sockets::{
        instance_network, ip_name_lookup, network::IpAddressFamily, tcp_create_socket, udp_create_socket,
    };
    let network = instance_network::instance_network();
    json!({
        "tcp": tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4).is_ok(),
        "tcp6": tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv6).is_ok(),
        "udp": udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4).is_ok(),
        "name": ip_name_lookup::resolve_addresses(&network, "localhost").is_ok(),
    })
}

/// How often `first` stands directly before `second` in this guest's memory. The two are never joined here, so what is found
/// came from outside.
fn scan(first: &str, second: &str) -> u64 {
    let end = core::arch::wasm32::memory_size(0) << 16;
    let (first, second) = (first.as_bytes(), second.as_bytes());
    let length = first.len() + second.len();
    // SAFETY: linear memory is readable from its first byte to its last, and no other thread writes to it.
    let at = |address: usize| unsafe { core::ptr::read_volatile(address as *const u8) };
    let holds =
        |address: usize, part: &[u8]| part.iter().enumerate().all(|(n, byte)| at(address + n) == *byte);
    // Address 0 is a place like any other, but null for Rust.
    (1..=end.saturating_sub(length))
        .filter(|address| holds(*address, first) && holds(address + first.len(), second))
        .count() as u64
}

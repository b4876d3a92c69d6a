//! Promise: no connection to an address that the guard denies, whatever the rules say and whatever carries it. Every vector is
//! asked for over every transport under a manifest rule and an operator rule that name its very scheme, host and port, so that the
//! guard alone decides; a packet socket counts.

use portcullis_tests::{
    Vendor, corpora,
    dns::{Dns, Record, Reply},
    netns,
    packets::{Kind, Packets},
    tables::{rows, unescape},
    transport::{self, Came, HOP, Projects, Transport},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// How a URL writes an address.
fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            // std writes mapped ones with dots, URLs with hexadecimal digits.
            Some(_) => format!("[::ffff:{:x}:{:x}]", ip.segments()[6], ip.segments()[7]),
            None if ip.segments()[..6] == [0; 6] && ip.segments()[6] != 0 => {
                format!("[::{:x}:{:x}]", ip.segments()[6], ip.segments()[7])
            }
            None => format!("[{ip}]"),
        },
    }
}

fn everywhere(port: u16, names: &[String]) -> Vendor {
    let hop = HOP.to_string();
    let names: Vec<&str> = names.iter().map(String::as_str).chain([hop.as_str()]).collect();
    Vendor::at(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port, &names, transport::answer)
}

fn syns(packets: &Packets) -> Vec<SocketAddr> {
    packets.take().into_iter().filter(|packet| packet.kind == Kind::Syn).map(|packet| packet.to).collect()
}

/// A request's time: no row comes near it.
const WITHIN_MS: u64 = 60_000;

/// Under rules that name each of them.
fn naming(urls: &[String], addresses: &[&str]) -> Projects {
    let rules: BTreeSet<String> = urls.iter().map(|url| format!("GET {url}**")).collect();
    Projects::new(&rules.into_iter().collect::<Vec<_>>(), addresses)
}

fn dialled(packets: &Packets) -> BTreeSet<IpAddr> {
    syns(packets).iter().map(SocketAddr::ip).collect()
}

#[test]
fn no_connect_to_a_denied_address() {
    let Some(vectors) = corpora("ssrf-ip-vectors") else { return };
    netns::isolated(transport::prepare, || {
        let vectors: Vec<(IpAddr, bool)> = rows(&vectors.join("ip-vectors.tsv"))
            .iter()
            .map(|row| (row["address"].parse().unwrap(), row["default"] == "allow"))
            .collect();
        let allowed: BTreeSet<IpAddr> =
            vectors.iter().filter(|(_, allowed)| *allowed).map(|(ip, _)| *ip).collect();
        assert_eq!((vectors.len(), allowed.len()), (86, 18), "the vectors changed: look at them");
        let names: Vec<String> = allowed.iter().map(IpAddr::to_string).collect();
        let vendor = everywhere(443, &names);
        let packets = Packets::on_lo();

        let urls: Vec<String> = vectors.iter().map(|(ip, _)| format!("https://{}/", host_of(*ip))).collect();
        // In the clear nothing is reached at all: `http://` dials loopback alone, and loopback was not listed.
        let plain: Vec<String> = vectors.iter().map(|(ip, _)| format!("http://{}/", host_of(*ip))).collect();
        let (tls, clear) = (naming(&urls, &[]), naming(&plain, &[]));
        for over in Transport::ALL {
            let before = vendor.count();
            for ((ip, allowed), (came, answer)) in vectors.iter().zip(over.ask(&tls, &urls, WITHIN_MS)) {
                let expected = if *allowed { Came::Reached } else { Came::Denied };
                assert_eq!(came, expected, "{over:?}: {ip}: {answer}");
            }
            let expected: BTreeSet<IpAddr> = allowed.iter().copied().chain(over.dials()).collect();
            assert_eq!(dialled(&packets), expected, "{over:?}: all of the public ones, and no other");
            let hops = if over.dials().is_some() { urls.len() } else { 0 };
            assert_eq!(vendor.count() - before, 18 + hops, "{over:?}");

            for (url, (came, answer)) in plain.iter().zip(over.ask(&clear, &plain, WITHIN_MS)) {
                assert_eq!(came, Came::Denied, "{over:?}: {url}: {answer}");
            }
            let expected = over.dials().into_iter().collect();
            assert_eq!(dialled(&packets), expected, "{over:?}: connects over http");
        }
    });
}

#[test]
fn a_listed_range_opens_itself_and_no_metadata() {
    let Some(_) = corpora("ssrf-ip-vectors") else { return };
    netns::isolated(transport::prepare, || {
        let reached = ["10.0.0.1", "192.168.0.1", "100.64.0.1", "127.0.0.1", "fd00::1", "fc00::1", "::1"];
        let names: Vec<String> = reached.iter().map(|name| (*name).to_owned()).collect();
        let _vendor = everywhere(443, &names);
        let packets = Packets::on_lo();
        let ranges = ["10.0.0.0/8", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "fc00::/7", "::1/128"];
        let denied = [
            "172.16.0.1",
            "100.100.100.200",
            "fd00:ec2::254",
            "fd00:ec2::253",
            "fd00:ec2::123",
            "fd00:ec2::23",
            "fd00:42::42",
            "fd00:c1::a9fe:a9fe",
            "fd20:ce::254",
            "169.254.169.254",
            "::ffff:a9fe:a9fe",
            "fe80::1",
        ];
        let urls: Vec<String> = reached
            .iter()
            .chain(&denied)
            .map(|ip| format!("https://{}/", host_of(ip.parse().unwrap())))
            .collect();
        let projects = naming(&urls, &ranges);
        for over in Transport::ALL {
            for (n, (came, answer)) in over.ask(&projects, &urls, WITHIN_MS).iter().enumerate() {
                let expected = if n < reached.len() { Came::Reached } else { Came::Denied };
                assert_eq!(*came, expected, "{over:?}: {}: {answer}", urls[n]);
            }
            let reached = reached.iter().map(|ip| ip.parse().unwrap());
            assert_eq!(dialled(&packets), reached.chain(over.dials()).collect(), "{over:?}");
        }
    });
}

/// Names and where the scripted DNS says they are: what sounds internal is, every other name has a public address of its own.
fn addresses_of(names: &BTreeSet<String>) -> BTreeMap<String, IpAddr> {
    let internal = |name: &str| match name {
        "metadata.google.internal" | "169-254-169-254.sslip.io" => Some("169.254.169.254"),
        _ if name.contains("localhost") || name == "ip6-loopback" => Some("127.0.0.1"),
        _ => None,
    };
    let mut next = 0_u8;
    let mut public = || {
        next += 1;
        format!("93.184.216.{next}")
    };
    names
        .iter()
        .map(|name| (name.clone(), internal(name).map_or_else(&mut public, str::to_owned).parse().unwrap()))
        .collect()
}

#[test]
fn no_hostile_url_reaches_another_host() {
    let Some(vectors) = corpora("ssrf-url-vectors") else { return };
    netns::isolated(transport::prepare, || {
        let rows = rows(&vectors.join("urls.tsv"));
        assert_eq!(rows.len(), 108, "the vectors changed: look at them");
        let web = |row: &BTreeMap<String, String>| ["http", "https"].contains(&row["url_scheme"].as_str());
        let is_name = |host: &str| host.parse::<IpAddr>().is_err() && !host.starts_with('[');
        let names: BTreeSet<String> = rows
            .iter()
            .filter(|row| web(row) && is_name(&row["url_host"]))
            .map(|row| row["url_host"].trim_end_matches('.').to_owned())
            .collect();
        let addresses = addresses_of(&names);
        let leaf: Vec<String> = names.iter().filter(|name| rcgen_accepts(name)).cloned().collect();
        let _tls = everywhere(443, &leaf);
        let _other = everywhere(80, &leaf);
        let known = addresses.clone();
        let _dns = Dns::start(move |question| match known.get(&question.name) {
            Some(ip) => Reply::Records(vec![(question.name.clone(), Record::Address(*ip))]),
            None => Reply::NoName,
        });
        let packets = Packets::on_lo();

        // Rules can be written for every row whose scheme is HTTP's and whose host is one.
        let mut rules = BTreeSet::new();
        let mut without_rule = 0;
        for row in &rows {
            let rule = format!("GET {}://{}:{}/**", row["url_scheme"], row["url_host"], row["url_port"]);
            if web(row) && rule.parse::<portcullis_grants::Rule>().is_ok() {
                rules.insert(rule);
            } else {
                without_rule += 1;
            }
        }
        let rules: Vec<String> = rules.into_iter().collect();
        let all: Vec<String> = rows.iter().map(|row| unescape(&row["input"])).collect();
        let mut passed = BTreeSet::new();
        let projects = Projects::new(&rules, &[]);
        for over in Transport::ALL {
            let urls: Vec<String> = all.iter().filter(|url| over.carries(url)).cloned().collect();
            let answers = over.ask(&projects, &urls, WITHIN_MS);
            let mut of_this = BTreeSet::new();
            for (url, (came, answer)) in urls.iter().zip(&answers) {
                let ok = matches!(came, Came::Reached | Came::Denied | Came::Malformed);
                assert!(ok, "{over:?}: {url}: {answer}");
                if *came == Came::Reached {
                    of_this.insert(url.clone());
                }
            }
            println!(
                "{over:?}: {} rows, {without_rule} that no rule can name, passed: {of_this:#?}",
                urls.len()
            );
            // Ordinary spellings of a granted host pass; so each refusal above is the guard's or the parser's.
            for ordinary in [
                "https://API.EXAMPLE.COM/v1",
                "https://api.example.com:443/v1",
                "https://api.example.com:80/v1",
                "https://evil-example.com/",
                "https://a.b.example.com/",
                "https://xn--fa-hia.de/",
                "https://api.example.com/v1/admin",
            ] {
                let known = of_this.contains(ordinary) || !urls.iter().any(|url| url == ordinary);
                assert!(known, "{over:?}: {ordinary} names a granted host");
            }
            passed.extend(of_this);
        }
        // Whoever passed was dialled where DNS put its host, and nobody else was.
        let public: BTreeSet<IpAddr> = addresses
            .values()
            .copied()
            .filter(|ip| matches!(ip, IpAddr::V4(ip) if ip.octets()[..3] == [93, 184, 216]))
            .chain([HOP])
            .collect();
        for to in syns(&packets) {
            assert!(public.contains(&to.ip()), "dialled {to}");
        }
        for url in passed {
            // A `Location` without scheme has that of the hop.
            let scheme = url.split("//").next().unwrap().to_ascii_lowercase();
            assert!(["https:", ""].contains(&scheme.as_str()), "{url} went out");
            // Behind `#` or `?` these are data; before it they would hide the host.
            let head = url.split(['#', '?']).next().unwrap();
            assert!(!head.contains(['\\', '@', '\t', '\n', '\r']), "{url:?} was not refused");
        }
    });
}

/// Whether a certificate can carry this name.
fn rcgen_accepts(name: &str) -> bool {
    !name.is_empty() && name.is_ascii() && !name.contains(['*', ' ']) && !name.contains("..")
}

//! Promise: names are resolved once, the whole answer is judged, and what is dialled is an address that was judged. Rows of
//! `dns-scenarios.tsv`, each where every address is local and DNS is scripted.

use portcullis_tests::{
    Vendor, corpora,
    dns::{Dns, Question, Record, Reply},
    netns,
    packets::{Kind, Packets},
    tables::rows,
    transport::{self, Came, HOP, Projects, Transport},
    vendor::Next,
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const NAME: &str = "api.vendor.test";
const PUBLIC: &str = "93.184.216.34";
const PUBLIC_V6: &str = "2606:2800:220:1:248:1893:25c8:1946";

fn ip(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

fn records(records: &[(&str, Record)]) -> Reply {
    Reply::Records(records.iter().map(|(owner, record)| ((*owner).to_owned(), record.clone())).collect())
}

/// In a network of its own: a vendor at every address, this DNS, and guests that may ask `NAME` over each transport.
fn scenario(
    answer: impl Fn(&Question) -> Reply + Send + 'static,
    test: impl Fn(&Asking, &Packets, &Vendor, &Dns),
) {
    if corpora("ssrf-ip-vectors").is_none() {
        return;
    }
    netns::isolated(transport::prepare, || {
        let names = [NAME, &HOP.to_string()];
        let vendor = Vendor::at(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443, &names, |asked, wire| {
            transport::answer(asked, wire);
            Next::Close
        });
        let dns = Dns::start(answer);
        let packets = Packets::on_lo();
        let mut asking = Asking {
            projects: Projects::new(&[format!("GET https://{NAME}/**")], &[]),
            over: Transport::Send,
        };
        for over in Transport::ALL {
            asking.over = over;
            packets.take();
            test(&asking, &packets, &vendor, &dns);
        }
    });
}

struct Asking {
    projects: Projects,
    over: Transport,
}

impl Asking {
    fn ask(&self) -> Came {
        self.ask_times(1, 60_000)[0]
    }

    /// In one call.
    fn ask_times(&self, times: usize, within_ms: u64) -> Vec<Came> {
        let answers = self.over.ask(&self.projects, &vec![format!("https://{NAME}/"); times], within_ms);
        answers.into_iter().map(|(came, _)| came).collect()
    }
}

/// But for the hop that led there.
fn dialled(packets: &Packets) -> Vec<String> {
    let mut found: Vec<String> = packets
        .take()
        .into_iter()
        .filter(|packet| packet.kind == Kind::Syn && packet.to.ip() != HOP)
        .map(|packet| packet.to.ip().to_string())
        .collect();
    found.dedup();
    found
}

/// Refused, with nothing dialled.
fn refused(answer: impl Fn(&Question) -> Reply + Send + 'static) {
    refused_within(60_000, answer);
}

fn refused_within(within_ms: u64, answer: impl Fn(&Question) -> Reply + Send + 'static) {
    scenario(answer, |asking, packets, vendor, _| {
        let came = asking.ask_times(1, within_ms)[0];
        assert!(matches!(came, Came::Denied | Came::Unconnected | Came::Late), "{:?}: {came:?}", asking.over);
        assert_eq!(dialled(packets), Vec::<String>::new(), "{:?}", asking.over);
        assert!(vendor.asked().iter().all(|asked| asked.path() == "/go"), "{:?}", asking.over);
    });
}

#[test]
fn a_public_answer_is_dialled() {
    scenario(
        |_| records(&[(NAME, ip(PUBLIC))]),
        |asking, packets, _, _| {
            assert_eq!(asking.ask(), Came::Reached, "{:?}", asking.over);
            assert_eq!(dialled(packets), [PUBLIC], "{:?}", asking.over);
        },
    );
}

#[test]
fn rebinding_is_never_dialled() {
    // Each way begins anew: what is counted are the questions since then.
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    scenario(
        move |question| {
            let first = question.kind != 1 || count.fetch_add(1, Ordering::SeqCst) == 0;
            records(&[(NAME, ip(if first { PUBLIC } else { "127.0.0.1" }))])
        },
        |asking, packets, _, _| {
            asked.store(0, Ordering::SeqCst);
            assert_eq!(asking.ask_times(2, 60_000)[0], Came::Reached, "{:?}", asking.over);
            // Another process, another question.
            assert_eq!(asking.ask(), Came::Denied, "{:?}", asking.over);
            assert!(dialled(packets).iter().all(|to| to == PUBLIC), "{:?}", asking.over);
        },
    );
}

#[test]
fn a_mixed_answer_is_refused_whole() {
    refused(|_| records(&[(NAME, ip(PUBLIC)), (NAME, ip("169.254.169.254"))]));
}

#[test]
fn a_private_aaaa_spoils_a_public_a() {
    refused(|_| records(&[(NAME, ip(PUBLIC)), (NAME, ip("::1"))]));
}

#[test]
fn an_alias_to_the_inside_is_refused() {
    refused(|_| {
        let inside = "metadata.google.internal";
        records(&[(NAME, Record::Alias(inside.to_owned())), (inside, ip("169.254.169.254"))])
    });
}

#[test]
fn a_public_name_of_loopback_is_refused() {
    refused(|_| records(&[(NAME, ip("127.0.0.1"))]));
}

#[test]
fn an_alias_to_the_outside_is_followed() {
    scenario(
        |_| records(&[(NAME, Record::Alias("edge.cdn.test".to_owned())), ("edge.cdn.test", ip(PUBLIC))]),
        |asking, packets, vendor, _| {
            assert_eq!(asking.ask(), Came::Reached, "{:?}", asking.over);
            assert_eq!(dialled(packets), [PUBLIC], "{:?}", asking.over);
            assert_eq!(vendor.asked().last().unwrap().header("host"), Some(NAME));
        },
    );
}

#[test]
fn a_circle_of_aliases_ends() {
    refused(|question| {
        let other = if question.name == NAME { "loop.vendor.test" } else { NAME };
        records(&[(&question.name, Record::Alias(other.to_owned()))])
    });
}

#[test]
fn a_huge_answer_is_refused() {
    refused(|_| Reply::Records((0..60).map(|n| (NAME.to_owned(), ip(&format!("93.184.217.{n}")))).collect()));
}

/// An address of each kind, in every answer that can hold it.
const SHAPES: [&str; 5] = ["alone", "alias", "first", "last", "beside"];

/// What DNS says of a name whose address is `ip`. A public address besides is nothing that excuses it.
fn shaped(shape: &str, name: &str, ip: IpAddr) -> Vec<(String, Record)> {
    let public = |is_v4: bool| Record::Address(if is_v4 { PUBLIC } else { PUBLIC_V6 }.parse().unwrap());
    let (of, own) = (|record| (name.to_owned(), record), Record::Address(ip));
    match shape {
        "alias" => {
            let alias = format!("of-{name}");
            vec![of(Record::Alias(alias.clone())), (alias, own)]
        }
        "first" => vec![of(own), of(public(ip.is_ipv4()))],
        "last" => vec![of(public(ip.is_ipv4())), of(own)],
        "beside" => vec![of(own), of(public(!ip.is_ipv4()))],
        _ => vec![of(own)],
    }
}

#[test]
fn every_address_in_every_answer_over_every_transport() {
    let Some(vectors) = corpora("ssrf-ip-vectors") else { return };
    netns::isolated(transport::prepare, || {
        let vectors = rows(&vectors.join("ip-vectors.tsv"));
        let mut names = BTreeMap::new();
        for (n, row) in vectors.iter().enumerate() {
            let (ip, allowed) = (row["address"].parse::<IpAddr>().unwrap(), row["default"] == "allow");
            for shape in SHAPES {
                names.insert(format!("{shape}-{n}.vendor.test"), (shape, ip, allowed));
            }
        }
        let hop = HOP.to_string();
        let _vendor =
            Vendor::at(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443, &["*.vendor.test", &hop], transport::answer);
        let known = names.clone();
        let _dns = Dns::start(move |question| match known.get(&question.name) {
            Some((shape, ip, _)) => Reply::Records(shaped(shape, &question.name, *ip)),
            None => Reply::NoName,
        });
        let packets = Packets::on_lo();
        let urls: Vec<String> = names.keys().map(|name| format!("https://{name}/")).collect();
        let rules: Vec<String> = urls.iter().map(|url| format!("GET {url}**")).collect();
        let projects = Projects::new(&rules, &[]);
        let mut public: Vec<IpAddr> =
            names.values().filter(|(_, _, allowed)| *allowed).map(|(_, ip, _)| *ip).collect();
        public.extend([HOP, PUBLIC.parse().unwrap(), PUBLIC_V6.parse().unwrap()]);
        for over in Transport::ALL {
            let answers = over.ask(&projects, &urls, 60_000);
            for ((name, (_, _, allowed)), (came, answer)) in names.iter().zip(&answers) {
                let expected = if *allowed { Came::Reached } else { Came::Denied };
                assert_eq!(*came, expected, "{over:?}: {name}: {answer}");
            }
            let dialled: Vec<IpAddr> = packets
                .take()
                .into_iter()
                .filter(|packet| packet.kind == Kind::Syn)
                .map(|packet| packet.to.ip())
                .collect();
            let reached = names.values().filter(|(_, _, allowed)| *allowed).count();
            assert!(dialled.len() >= reached, "{over:?}: {} of {reached}", dialled.len());
            for ip in dialled {
                assert!(public.contains(&ip), "{over:?}: dialled {ip}");
            }
        }
    });
}

#[test]
fn a_name_is_never_completed() {
    scenario(
        |question| {
            if question.name.ends_with(".inside.test") {
                records(&[(&question.name, ip(PUBLIC))])
            } else {
                Reply::NoName
            }
        },
        |asking, packets, _, dns| {
            netns::bind(
                "/etc/resolv.conf",
                "nameserver 127.0.0.1\nsearch inside.test\noptions ndots:5 timeout:1 attempts:1\n",
            );
            let came = asking.ask();
            assert!(matches!(came, Came::Denied | Came::Unconnected), "{:?}: {came:?}", asking.over);
            assert_eq!(dialled(packets), Vec::<String>::new());
            let asked = dns.asked();
            assert!(!asked.is_empty() && asked.iter().all(|question| question.name == NAME), "{asked:?}");
        },
    );
}

#[test]
fn a_hosts_file_opens_no_loopback() {
    scenario(
        |_| records(&[(NAME, ip(PUBLIC))]),
        |asking, packets, _, _| {
            netns::bind("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 api.vendor.test\n");
            let _either = asking.ask();
            assert!(dialled(packets).iter().all(|to| to == PUBLIC));
        },
    );
}

#[test]
fn a_silent_server_is_not_waited_for() {
    refused_within(1_000, |_| Reply::Silence);
}

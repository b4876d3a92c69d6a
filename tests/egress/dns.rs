//! Promise: names are resolved once, the whole answer is judged, and what is dialled is an address that was judged. Rows of
//! `dns-scenarios.tsv`, each where every address is local and DNS is scripted.

use portcullis_tests::{
    Vendor, corpora,
    dns::{Dns, Question, Record, Reply},
    netns,
    packets::{Kind, Packets},
    transport::{self, Came, HOP, Projects, Transport},
    vendor::Next,
};
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

const NAME: &str = "api.vendor.test";
const PUBLIC: &str = "93.184.216.34";

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

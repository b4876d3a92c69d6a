//! Promise: names are resolved once, the whole answer is judged, and what is dialled is an address that was judged. Rows of
//! `dns-scenarios.tsv`, each where every address is local and DNS is scripted.

use portcullis_tests::{
    Project, Vendor,
    case::{Case, http, is_denied, order},
    corpora,
    dns::{Dns, Question, Record, Reply},
    guests, netns,
    packets::{Kind, Packets},
    vendor::reply,
};
use serde_json::Value;
use std::net::{IpAddr, Ipv6Addr};

const NAME: &str = "api.vendor.test";
const PUBLIC: &str = "93.184.216.34";

fn ip(text: &str) -> Record {
    Record::Address(text.parse().unwrap())
}

fn records(records: &[(&str, Record)]) -> Reply {
    Reply::Records(records.iter().map(|(owner, record)| ((*owner).to_owned(), record.clone())).collect())
}

/// In a network of its own: a vendor at every address, this DNS, a project that may ask `NAME`.
fn scenario(
    answer: impl Fn(&Question) -> Reply + Send + 'static,
    test: impl FnOnce(&Project, &Packets, &Vendor, &Dns),
) {
    if corpora("ssrf-ip-vectors").is_none() {
        return;
    }
    netns::isolated(
        || drop(guests::probe("")),
        || {
            let vendor = Vendor::at(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443, &[NAME], |_, wire| {
                reply(wire, 200, &[("Connection", "close")], b"reached")
            });
            let dns = Dns::start(answer);
            let rule = format!("GET https://{NAME}/**");
            let project = Case { manifest: http(&[rule], ""), ..Case::default() }.approved();
            test(&project, &Packets::on_lo(), &vendor, &dns);
        },
    );
}

fn ask(project: &Project) -> Value {
    project.send(&order("GET", &format!("https://{NAME}/")))
}

fn dialled(packets: &Packets) -> Vec<String> {
    let mut found: Vec<String> = packets
        .take()
        .into_iter()
        .filter(|packet| packet.kind == Kind::Syn)
        .map(|packet| packet.to.ip().to_string())
        .collect();
    found.dedup();
    found
}

/// Refused, with nothing dialled.
fn refused(answer: impl Fn(&Question) -> Reply + Send + 'static) {
    scenario(answer, |project, packets, vendor, _| {
        let answer = ask(project);
        assert!(is_denied(&answer) || answer["error"] == "connect", "{answer}");
        assert_eq!(dialled(packets), Vec::<String>::new());
        assert_eq!(vendor.connects(), 0);
    });
}

#[test]
fn a_public_answer_is_dialled() {
    scenario(
        |_| records(&[(NAME, ip(PUBLIC))]),
        |project, packets, _, _| {
            assert_eq!(ask(project)["status"], 200);
            assert_eq!(dialled(packets), [PUBLIC]);
        },
    );
}

#[test]
fn rebinding_is_never_dialled() {
    scenario(
        |question| records(&[(NAME, ip(if question.ordinal == 0 { PUBLIC } else { "127.0.0.1" }))]),
        |project, packets, _, _| {
            let url = format!("https://{NAME}/");
            let answers = project.send_each(&[order("GET", &url), order("GET", &url)]);
            assert_eq!(answers[0]["status"], 200, "{answers:?}");
            // Another process, another question.
            let later = ask(project);
            assert!(is_denied(&later), "{later}");
            assert!(dialled(packets).iter().all(|to| to == PUBLIC));
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
        |project, packets, vendor, _| {
            assert_eq!(ask(project)["status"], 200);
            assert_eq!(dialled(packets), [PUBLIC]);
            assert_eq!(vendor.asked()[0].header("host"), Some(NAME));
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
        |project, packets, _, dns| {
            netns::bind(
                "/etc/resolv.conf",
                "nameserver 127.0.0.1\nsearch inside.test\noptions ndots:5 timeout:1 attempts:1\n",
            );
            let answer = ask(project);
            assert!(is_denied(&answer) || answer["error"] == "connect", "{answer}");
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
        |project, packets, _, _| {
            netns::bind("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 api.vendor.test\n");
            let _either = ask(project);
            assert!(dialled(packets).iter().all(|to| to == PUBLIC));
        },
    );
}

#[test]
fn a_silent_server_is_not_waited_for() {
    refused(|_| Reply::Silence);
}

//! Promise: of the web platform's URL tests each that goes out goes out as a browser would send it and as it was written, read by
//! RFC 3986's own split of its parts; what these two read differently is refused. From the request's bytes at the vendor.

use portcullis_grants::CanonicalUrl;
use portcullis_tests::{
    Asked, Vendor, corpora,
    dns::{Dns, Record, Reply},
    netns,
    transport::{self, Came, Projects, Transport},
    vendor::reply,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    net::{IpAddr, Ipv6Addr},
};

/// Scheme, authority in lower case without the default port, and what stands behind it without the fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    scheme: String,
    authority: String,
    target: String,
}

impl Parts {
    /// RFC 3986 appendix B.
    fn of(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split('#').next()?.split_once(':')?;
        let rest = rest.strip_prefix("//")?;
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        let scheme = scheme.to_ascii_lowercase();
        let default = if scheme == "https" { ":443" } else { ":80" };
        let authority = rest[..at].to_ascii_lowercase();
        let authority = authority.strip_suffix(default).unwrap_or(&authority).to_owned();
        let target =
            if rest[at..].starts_with('/') { rest[at..].to_owned() } else { format!("/{}", &rest[at..]) };
        Some(Self { scheme, authority, target })
    }

    fn port(&self) -> u16 {
        let default = if self.scheme == "https" { 443 } else { 80 };
        let port = self.authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        port.and_then(|(_, port)| port.parse().ok()).unwrap_or(default)
    }

    /// Without its port.
    fn host(&self) -> &str {
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.authority,
        }
    }
}

/// Each input once, with what a browser makes of it; rows without a base, or whose input needs none.
fn inputs(text: &str) -> BTreeMap<String, Option<String>> {
    // Rows with lone surrogates are no Rust strings: `\\ud800` as six characters is an input like any other.
    let text: String = text.replace("\\ud", "\\\\ud").replace("\\uD", "\\\\uD");
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let rows = rows.iter().filter_map(|row| {
        let input = row["input"].as_str()?.to_owned();
        Some((input, row["href"].as_str().map(str::to_owned)))
    });
    // A port is one vendor's: TLS on that of plain HTTP is held in `ssrf`.
    rows.filter(|(input, _)| {
        Parts::of(input).is_none_or(|parts| (parts.scheme.as_str(), parts.port()) != ("https", 80))
    })
    .collect()
}

#[test]
fn what_passes_goes_out_as_it_was_written() {
    let Some(vectors) = corpora("wpt-url") else { return };
    netns::isolated(transport::prepare, || {
        let inputs = inputs(&fs::read_to_string(vectors.join("url/tests/urltestdata.json")).unwrap());
        let ours: BTreeSet<&String> =
            inputs.keys().filter(|input| CanonicalUrl::parse(input).is_ok()).collect();
        // Rules name whatever a browser reads in a row, so that no row is refused for want of one.
        let mut rules = BTreeSet::new();
        for parts in inputs.values().flatten().filter_map(|href| Parts::of(href)) {
            let rule = format!("GET {}://{}:{}/**", parts.scheme, parts.host(), parts.port());
            if rule.parse::<portcullis_grants::Rule>().is_ok() {
                rules.insert(rule);
            }
        }
        let names: Vec<String> =
            ours.iter().filter_map(|input| Parts::of(input)).map(|parts| parts.host().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(|name| name.trim_matches(['[', ']'])).collect();
        let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let answer = |_: &Asked, wire: &mut dyn std::io::Write| reply(wire, 200, &[], b"");
        let ends = ours.iter().filter_map(|input| Parts::of(input));
        let ends: BTreeSet<_> = ends.map(|parts| (parts.scheme.clone(), parts.port())).collect();
        let vendors: BTreeMap<(String, u16), Vendor> = ends
            .into_iter()
            .filter(|(_, port)| *port > 0)
            .map(|(scheme, port)| {
                let vendor = if scheme == "https" {
                    Vendor::at(everywhere, port, &names, answer)
                } else {
                    Vendor::plain_at(everywhere, port, answer)
                };
                ((scheme, port), vendor)
            })
            .collect();
        let _dns = Dns::start(|question| {
            Reply::Records(vec![(question.name.clone(), Record::Address("127.0.0.1".parse().unwrap()))])
        });
        let projects = Projects::new(&rules.into_iter().collect::<Vec<_>>(), &["127.0.0.1/32"]);
        let urls: Vec<String> = inputs.keys().cloned().collect();
        let answers = Transport::Send.ask(&projects, &urls, 60_000);

        let mut arrived: BTreeMap<_, VecDeque<Asked>> =
            vendors.iter().map(|(end, vendor)| (end.clone(), vendor.asked().into())).collect();
        let (mut sent, mut guarded, mut differ) = (0, 0, 0);
        for (url, (came, answer)) in urls.iter().zip(&answers) {
            let (browser, written) = (inputs[url].as_deref().and_then(Parts::of), Parts::of(url));
            if browser != written {
                differ += 1;
                assert!(matches!(came, Came::Denied | Came::Malformed), "{url}: {answer}");
                continue;
            }
            match came {
                Came::Reached => {
                    sent += 1;
                    let written = written.unwrap();
                    let end = (written.scheme.clone(), written.port());
                    let asked = arrived.get_mut(&end).and_then(VecDeque::pop_front).expect("it arrived");
                    assert_eq!(
                        String::from_utf8_lossy(&asked.head).lines().next(),
                        Some(format!("GET {} HTTP/1.1", written.target).as_str()),
                        "{url}"
                    );
                    assert_eq!(
                        (asked.count("host"), asked.header("host")),
                        (1, Some(written.authority.as_str())),
                        "{url}"
                    );
                }
                Came::Denied if ours.contains(url) => guarded += 1,
                Came::Denied | Came::Malformed => {}
                _ => panic!("{url}: {answer}"),
            }
        }
        println!("{} rows, {differ} differ, {sent} sent, {guarded} denied by the guard", urls.len());
        assert!(arrived.values().all(VecDeque::is_empty), "nothing else arrived: {arrived:#?}");
        assert!(sent >= 20 && differ >= 400, "{sent} sent, {differ} differ");
        assert_eq!(
            sent + guarded,
            ours.len(),
            "what both readers accept is sent, or the guard denies its address"
        );
    });
}

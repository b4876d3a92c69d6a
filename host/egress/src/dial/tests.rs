//! What may be dialled, over loopback servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::{
    Exchange,
    testing::{Kit, Server, reply, request, slot, state, with_header},
};
use portcullis_grants::{AddressPolicy, Attributes};
use portcullis_secrets::Secret;

const URL: &str = "https://api.vendor.test/v1/items";

fn rendered(url: &str, attachment: Option<&Attachment>) -> reqwest::Request {
    let kit = Kit::seeded(&[("GET https://api.vendor.test/**", Attributes::default())]);
    let asked = with_header(request("GET", url), "authorization", "guest");
    let prepared = kit.prepared(&state(&kit), asked);
    render(&prepared, attachment).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

#[test]
fn a_credential_replaces_whatever_stands_at_its_place() {
    let attachment = Attachment {
        header: Some(("authorization".to_owned(), secret("Bearer s"))),
        query: None,
        needles: vec![],
    };
    let request = rendered(URL, Some(&attachment));
    let values: Vec<_> = request.headers().get_all("authorization").iter().collect();
    assert_eq!(values, ["Bearer s"]);
    assert!(values[0].is_sensitive());
    assert!(!format!("{request:?}").contains("Bearer s"));
}

#[test]
fn a_query_credential_goes_behind_the_guests_query() {
    let attachment =
        Attachment { header: None, query: Some(("api key".to_owned(), secret("a%2Fb"))), needles: vec![] };
    assert_eq!(rendered(URL, Some(&attachment)).url().query(), Some("api%20key=a%2Fb"));
    let url = format!("{URL}?limit=1");
    assert_eq!(rendered(&url, Some(&attachment)).url().query(), Some("limit=1&api%20key=a%2Fb"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "makes renderings that must be refused")]
fn what_was_authorised_is_what_goes_out() {
    let authorized = CanonicalUrl::parse("https://api.vendor.test/v1/items?limit=1").unwrap();
    let check = |text: &str, same: bool| {
        assert_eq!(assert_unchanged(&authorized, &url::Url::parse(text).unwrap()).is_ok(), same, "{text}");
    };
    check("https://api.vendor.test/v1/items?limit=1", true);
    check("https://api.vendor.test/v1/items?limit=1&key=s", true);
    check("https://api.vendor.test/v1/items?key=s", false);
    check("https://api.vendor.test/v1/items", false);
    check("https://api.vendor.test/v1/item?limit=1", false);
    check("https://api.vendor.test:444/v1/items?limit=1", false);
    check("https://evil.test/v1/items?limit=1", false);
    check("http://api.vendor.test/v1/items?limit=1", false);
    check("https://user@api.vendor.test/v1/items?limit=1", false);
}

fn routes(entries: &[(&str, u16, &str, u16)]) -> Result<Routes, SettingsError> {
    let connect_to = entries
        .iter()
        .map(|(from, port, to, to_port)| (((*from).to_owned(), *port), ((*to).to_owned(), *to_port)));
    let network = NetworkSettings { connect_to: connect_to.collect(), ..NetworkSettings::default() };
    Routes::new(0, &network, Arc::new(RootCertStore::empty()))
}

#[test]
fn mappings_that_the_transport_can_not_be_held_to_are_refused() {
    assert!(routes(&[("api.vendor.test", 443, "127.0.0.1", 8443)]).is_ok());
    assert!(routes(&[("api.vendor.test", 8443, "127.0.0.1", 8443)]).is_ok());
    assert!(routes(&[("api.vendor.test", 443, "inner.test", 8443)]).is_ok());
    assert!(routes(&[("api.vendor.test", 9000, "127.0.0.1", 8443)]).is_err());
    assert!(routes(&[("10.0.0.1", 443, "127.0.0.1", 8443)]).is_err());
    assert!(routes(&[("[::1]", 443, "127.0.0.1", 8443)]).is_err());
    assert!(routes(&[("api.vendor.test", 443, "127.0.0.1", 0)]).is_err());
    assert!(routes(&[("a.test", 443, "127.0.0.1", 1), ("A.test.", 443, "127.0.0.1", 2)]).is_err());
}

#[test]
fn a_mapping_applies_to_its_own_port_alone() {
    let routes = routes(&[("api.vendor.test", 443, "127.0.0.1", 8443)]).unwrap();
    let mapping = |text: &str| routes.mapping(&CanonicalUrl::parse(text).unwrap(), "api.vendor.test");
    assert_eq!(mapping("https://api.vendor.test/").unwrap(), Some(0));
    assert_eq!(mapping("https://api.vendor.test:8443/").unwrap(), None);
    assert_eq!(mapping("http://api.vendor.test/").unwrap(), None);
    assert!(mapping("http://api.vendor.test:443/").is_err());
}

/// One that plays reaches what it maps, at its port, and nobody else: no name is looked up, no address is dialled.
#[tokio::test]
async fn where_only_what_is_mapped_is_dialled() {
    let rules =
        ["GET https://*.vendor.test/**", "GET https://*.vendor.test:8443/**", "GET https://127.0.0.1:9/**"];
    let mut kit = Kit::seeded(&rules.map(|rule| (rule, Attributes::default())));
    kit.settings.network.mapped_alone = true;
    let call = kit.call();
    for url in ["https://other.vendor.test/v1", "https://api.vendor.test:8443/v1", "https://127.0.0.1:9/v1"] {
        assert!(matches!(call.send(request("GET", url)).await, Err(crate::Error::Denied { .. })), "{url}");
    }
    assert_eq!(call.denials().len(), 3);
    assert!(
        call.denials().iter().all(|(_, denied)| denied.reason.contains("nobody's here")),
        "{:?}",
        call.denials()
    );
}

#[tokio::test]
async fn a_slot_that_is_bound_nowhere_is_refused() {
    let kit = Kit::seeded(&[("GET https://api.vendor.test/**", slot("key"))]);
    let call = kit.call();
    assert!(matches!(call.send(request("GET", URL)).await, Err(crate::Error::Denied { .. })));
    assert!(call.denials()[0].1.reason.contains("`key`"), "{:?}", call.denials());
}

/// Asks through a client that was told of another address than the one that the connection's guard judges: what a
/// resolver or a pool that went past the guard would come to.
async fn past_the_resolver(listed: &[&str]) -> (Result<crate::Response, crate::Error>, Vec<Exchange>, usize) {
    let server = Server::tls("api.vendor.test", |_, _| reply(200, &["X-Inner: inner"], "inner")).await;
    let mut kit = Kit::seeded(&[("GET https://api.vendor.test/**", Attributes::default())]);
    let network = &mut kit.settings.network;
    network.ca_pem = server.authority.clone().map(String::into_bytes);
    network.addresses =
        AddressPolicy::new(listed.iter().map(|range| range.parse().unwrap()).collect()).unwrap();
    let call = kit.call();
    let state = call.state_for_tests();
    let routes = &state.connection.routes;
    let key = ClientKey { connection: routes.serial, slot: None, plain: false, mapping: None };
    let clients = &kit.egress.clients;
    let loopback = AddressPolicy::new(vec!["127.0.0.1/32".parse().unwrap()]).unwrap();
    clients
        .of(key, state.now(), || {
            let resolver = CheckedResolver {
                lookup: clients.lookup.clone(),
                guard: Guard { policy: loopback, plain: false },
                target: Some(Target { host: "127.0.0.1".to_owned(), port: server.port }),
            };
            connect::client(resolver, Arc::clone(&routes.roots))
        })
        .unwrap();
    (call.send(request("GET", URL)).await, kit.rows(), server.requests().len())
}

#[tokio::test]
async fn an_answer_of_another_peer_than_the_judged_one_goes_no_further() {
    let (outcome, rows, asked) = past_the_resolver(&[]).await;
    assert!(matches!(outcome, Err(crate::Error::Denied { .. })), "{outcome:?}");
    assert_eq!(asked, 1, "the guard before the connect was passed by, which is what this is about");
    assert!(!format!("{outcome:?} {rows:?}").contains("inner"), "{rows:?}");
    // The twin: the same client, and a peer that the guard lets pass.
    let (outcome, ..) = past_the_resolver(&["127.0.0.1/32"]).await;
    assert_eq!(outcome.unwrap().body, "inner");
}

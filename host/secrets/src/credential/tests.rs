//! What each scheme puts on a request, and what it refuses to.
#![allow(clippy::unwrap_used, clippy::expect_used)]
use super::*;
use crate::Provider;
use std::{collections::BTreeMap, sync::Arc};

/// Answers with fixed bytes: the port's simplest implementation, not a stand-in for another.
struct Fixed(&'static [(&'static str, &'static [u8])]);

#[async_trait::async_trait]
impl Provider for Fixed {
    async fn fetch(&self, reference: &Reference) -> Result<Secret, SecretError> {
        let found = self.0.iter().find(|(name, _)| *name == reference.path);
        found.map(|(_, bytes)| Secret::copy(bytes)).ok_or_else(|| SecretError::Missing(reference.to_string()))
    }
}

fn providers() -> Providers {
    let fixed = Fixed(&[
        ("key", b"canary_key"),
        ("word", b"canary: p\xc3\xa4ss"),
        ("colon", b"canary:key"),
        ("short", b"canary"),
        ("crlf", b"canary_k\r\nX-Evil: 1"),
        ("nul", b"canary_k\0"),
        ("space", b"canary_key "),
        ("odd", b"a b&c=d/+%"),
    ]);
    let fixed: Arc<dyn Provider> = Arc::new(fixed);
    Providers::new(".".into(), BTreeMap::from([("t".to_owned(), fixed)]))
}

fn at(path: &str) -> Reference {
    format!("t:{path}").parse().unwrap()
}

fn credential(scheme: Scheme) -> Credential {
    Credential { name: "live".into(), scheme, short: false, requests_per_second: None }
}

async fn render(scheme: Scheme) -> Result<(String, String, Vec<String>), SecretError> {
    let text = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
    let attachment = credential(scheme).attachment(&providers()).await?;
    let (name, value) = attachment.header.or(attachment.query).unwrap();
    Ok((name, text(&value), attachment.needles.iter().map(text).collect()))
}

async fn refusal(scheme: Scheme) -> String {
    let error = render(scheme).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn rendered() {
    let bearer = render(Scheme::Bearer { secret: at("key") }).await.unwrap();
    assert_eq!(bearer, ("authorization".into(), "Bearer canary_key".into(), vec!["canary_key".into()]));

    let header =
        Scheme::ApiKeyHeader { name: "X-Api-Key".into(), prefix: Some("Token ".into()), secret: at("key") };
    assert_eq!(credential(header.clone()).place(), Place::Header("x-api-key".into()));
    assert_eq!(
        render(header).await.unwrap(),
        ("x-api-key".into(), "Token canary_key".into(), vec!["canary_key".into()])
    );

    let query = Scheme::ApiKeyQuery { name: "api_key".into(), secret: at("odd") };
    assert_eq!(credential(query.clone()).place().to_string(), "query api_key");
    let rendered = ("api_key".into(), "a%20b%26c%3Dd%2F%2B%25".into(), vec!["a b&c=d/+%".into()]);
    assert_eq!(render(query).await.unwrap(), rendered);

    // The example of RFC 7617 section 2 with Stripe's form: the key is the user name.
    let basic = Scheme::Basic { username: UserName::Secret(at("key")), password: None };
    let (name, value, needles) = render(basic).await.unwrap();
    assert_eq!((name.as_str(), value.as_str()), ("authorization", "Basic Y2FuYXJ5X2tleTo="));
    assert_eq!(needles, ["canary_key", "Y2FuYXJ5X2tleTo="]);

    let basic = Scheme::Basic { username: UserName::Plain("me".into()), password: Some(at("word")) };
    let (_, value, needles) = render(basic.clone()).await.unwrap();
    assert_eq!(value, "Basic bWU6Y2FuYXJ5OiBww6Rzcw==");
    assert_eq!(needles, ["canary: päss", "bWU6Y2FuYXJ5OiBww6Rzcw=="]);
    assert_eq!(credential(basic).references(), [&at("word")]);
}

#[tokio::test]
async fn refused() {
    for path in ["crlf", "nul", "space"] {
        let expected = format!(
            "secret `t:{path}` has control characters, line ends or spaces that its place can't carry"
        );
        assert_eq!(refusal(Scheme::Bearer { secret: at(path) }).await, expected);
    }
    assert!(refusal(Scheme::Bearer { secret: at("word") }).await.contains("can't carry"), "not ASCII");
    assert!(
        refusal(Scheme::ApiKeyQuery { name: "k".into(), secret: at("crlf") }).await.contains("can't carry")
    );
    assert!(
        refusal(Scheme::Basic { username: UserName::Plain("me".into()), password: Some(at("nul")) })
            .await
            .contains("can't carry")
    );
    let colon = "the user name of credential `live` has a colon";
    assert_eq!(
        refusal(Scheme::Basic { username: UserName::Secret(at("colon")), password: None }).await,
        colon
    );
    assert_eq!(
        refusal(Scheme::Basic { username: UserName::Plain("a:b".into()), password: None }).await,
        colon
    );
    let short = "secret `t:short` is shorter than 8 bytes, so it would be masked in innocent places";
    assert_eq!(refusal(Scheme::Bearer { secret: at("short") }).await, short);
    let mut accepted = credential(Scheme::Bearer { secret: at("short") });
    accepted.short = true;
    assert!(accepted.attachment(&providers()).await.is_ok());
    assert_eq!(refusal(Scheme::Bearer { secret: at("none") }).await, "secret `t:none` not found");
}

#[test]
fn places() {
    let header = |name: &str, prefix: Option<&str>| {
        let scheme =
            Scheme::ApiKeyHeader { name: name.into(), prefix: prefix.map(str::to_owned), secret: at("key") };
        credential(scheme).check().map_err(|error| error.to_string())
    };
    assert_eq!(header("X-Api-Key", Some("Token token=")), Ok(()));
    assert_eq!(header("Host", None), Err("credential `live`: header `host` is set by the host".into()));
    assert!(header("a b", None).is_err());
    assert!(header("a\r\nb", None).is_err());
    assert!(header("X-Key", Some("a\nb")).is_err());
    assert!(header("X-Key", Some(" a")).is_err());
    assert_eq!(Place::query("api_key"), Ok(Place::Query("api_key".into())));
    for name in ["", "a&b", "a=b", "a b", "ä"] {
        assert_eq!(Place::query(name), Err(PlaceError::Query));
    }
}

//! The mutation set: one document a line, what it is edited to, and the right verdict, written down by hand in both directions.

/// Which document is edited.
#[derive(Clone, Copy, Debug)]
pub enum In {
    Manifest,
    Config,
    Schema,
    Imports,
    Roles,
}

/// Every place where the second stands becomes the third.
pub type Edit = (In, &'static str, &'static str);

/// Written down, not computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Same,
    More,
}
use Verdict::{More, Same};

pub struct Row {
    pub name: &'static str,
    pub edits: &'static [Edit],
    /// Of the edited one against the base.
    pub there: Verdict,
    /// Of the base against the edited one.
    pub back: Verdict,
    /// What one of the two texts says.
    pub says: &'static str,
    /// Where its rules reach further than the base's: a rule that a boundary may deny and the base does not meet; empty where
    /// every such rule would meet the base too.
    pub deny: Option<&'static str>,
}

/// Rules that reach no other request than the base's.
const fn row(
    name: &'static str,
    edits: &'static [Edit],
    there: Verdict,
    back: Verdict,
    says: &'static str,
) -> Row {
    Row { name, edits, there, back, says, deny: None }
}

/// Rules that do.
const fn wide(
    name: &'static str,
    edits: &'static [Edit],
    back: Verdict,
    says: &'static str,
    deny: &'static str,
) -> Row {
    Row { name, edits, there: More, back, says, deny: Some(deny) }
}

const READ: &str = "GET https://api.vendor.test/v1/customers/*";
const SEARCH: &str = "POST https://api.vendor.test/v1/search";
const FILES: &str = "GET https://*.files.vendor.test/d/*";
const REMOVE: &str = "DELETE https://admin.vendor.test:8443/v1/users/*";
const QUERY: &str = "query = { limit = \"*\", expand = \"data.*\" }";
const BY_SEARCH: &str = "credential = \"key\"\nsafe = true";
const NAMED: &str = "from-response = { allow = \"PUT https://up.vendor.test/**\", of = \"POST https://api.vendor.test/v1/customers\", at = [\"/url\", \"header:location\"] }";
const KEY: &str = "idempotency = { header = \"Idempotency-Key\", window = \"24h\" }";
pub const ADMIN: &str = "[credentials.admin]\nschemes = [\"bearer\", \"api-key-header\", \"api-key-query\"]\nwhy = \"removes users\"\n";

// One pair a line.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // Identity and words.
    row("a version", &[(In::Manifest, "version = \"1.0.0\"", "version = \"1.1.0\"")], Same, Same, "COVERED"),
    row("another reason", &[(In::Manifest, "read customers", "look at customers")], Same, Same, "COVERED"),
    row("another summary", &[(In::Manifest, "a vendor", "the vendor")], Same, Same, "COVERED"),
    row(
        "another connector",
        &[(In::Manifest, "acme/vendor", "acme/other"), (In::Config, "acme/vendor", "acme/other")],
        More,
        More,
        "connector acme/vendor → acme/other",
    ),
    row("position-version", &[(In::Manifest, "position-version = 1", "position-version = 2")], More, More, "position-version 1 → 2"),
    row("config-version", &[(In::Manifest, "config-version = 1", "config-version = 2")], More, More, "config-version 1 → 2"),
    // Host.
    wide("a wildcard host", &[(In::Manifest, READ, "GET https://*.vendor.test/v1/customers/*")], Same, "in host", "GET https://other.vendor.test/**"),
    row("one host of a wildcard", &[(In::Manifest, FILES, "GET https://a.files.vendor.test/d/*")], Same, More, "in host"),
    wide("another host", &[(In::Manifest, SEARCH, "POST https://search.evil.test/v1/search")], More, "secret  `live` (bearer) as header authorization to https://search.evil.test:443", "POST https://*.evil.test/**"),
    wide("a look-alike host", &[(In::Manifest, SEARCH, "POST https://api.vendor.test.evil.test/v1/search")], More, "added", "POST https://api.vendor.test.evil.test/**"),
    wide("the host above", &[(In::Manifest, SEARCH, "POST https://vendor.test/v1/search")], More, "added", "POST https://vendor.test/**"),
    wide("a wildcard above a wildcard", &[(In::Manifest, FILES, "GET https://*.vendor.test/d/*")], More, "added", "GET https://b.vendor.test/d/*"),
    // Port.
    wide("another port", &[(In::Manifest, SEARCH, "POST https://api.vendor.test:8443/v1/search")], More, "api.vendor.test:8443", "POST https://*:8443/**"),
    row("the default port, written out", &[(In::Manifest, SEARCH, "POST https://api.vendor.test:443/v1/search")], Same, Same, "COVERED"),
    // Scheme of the URL.
    wide("plain http", &[(In::Manifest, SEARCH, "POST http://api.vendor.test/v1/search")], More, "plain `http`", "POST http://*/**"),
    wide("plain http without a credential", &[(In::Manifest, FILES, "GET http://*.files.vendor.test:443/d/*")], More, "plain `http`", "GET http://*:443/**"),
    wide("another port without a credential", &[(In::Manifest, FILES, "GET https://*.files.vendor.test:8443/d/*")], More, "port 8443", "GET https://*:8443/**"),
    // Method.
    wide("a method more", &[(In::Manifest, READ, "GET,PATCH https://api.vendor.test/v1/customers/*")], Same, "in method", "PATCH https://*/**"),
    wide("a safe method more", &[(In::Manifest, READ, "GET,HEAD https://api.vendor.test/v1/customers/*")], Same, "in method", "HEAD https://*/**"),
    wide("another method", &[(In::Manifest, REMOVE, "PUT https://admin.vendor.test:8443/v1/users/*")], More, "PUT https://admin", "PUT https://*:8443/**"),
    // Path.
    wide("everything below a path", &[(In::Manifest, READ, "GET https://api.vendor.test/v1/customers/**")], Same, "in path", "GET https://*/v1/customers/*/keys"),
    row("one path of a wildcard", &[(In::Manifest, READ, "GET https://api.vendor.test/v1/customers/me")], Same, More, "in path"),
    wide("a segment with a slash in it", &[(In::Manifest, READ, "GET https://api.vendor.test/v1/customers/*+")], Same, "in path", "GET https://api.vendor.test/v1/customers/*/private"),
    wide("a wildcard in the middle", &[(In::Manifest, FILES, "GET https://*.files.vendor.test/*/*")], Same, "in path", "GET https://a.files.vendor.test/private/*"),
    wide("a slash at the end", &[(In::Manifest, SEARCH, "POST https://api.vendor.test/v1/search/")], More, "added", ""),
    wide("the path above", &[(In::Manifest, SEARCH, "POST https://api.vendor.test/v1")], More, "added", "POST https://*/v1"),
    // Rules as a set.
    row("a rule less", &[(In::Manifest, "[[http]]\nallow = [\"GET https://*.files.vendor.test/d/*\"]\nredirect = \"follow\"\nguest-headers = [\"cookie\"]\nwhy = \"download\"\n", "")], Same, More, "removed"),
    row("a rule within another", &[(In::Manifest, "allow = [\"GET https://api.vendor.test/v1/customers/*\"]", "allow = [\"GET https://api.vendor.test/v1/customers/*\", \"GET https://api.vendor.test/v1/customers/me\"]")], Same, Same, "COVERED"),
    wide("a rule more", &[(In::Manifest, "allow = [\"GET https://api.vendor.test/v1/customers/*\"]", "allow = [\"GET https://api.vendor.test/v1/customers/*\", \"GET https://api.vendor.test/v1/keys\"]")], Same, "v1/keys", "GET https://*/v1/keys"),
    // Query.
    row("a query name more", &[(In::Manifest, QUERY, "query = { limit = \"*\", fields = \"*\", expand = \"data.*\" }")], More, Same, "in query"),
    row("a query name less", &[(In::Manifest, QUERY, "query = { limit = \"*\" }")], Same, More, "in query"),
    row("a query value opened", &[(In::Manifest, QUERY, "query = { limit = \"*\", expand = \"*\" }")], More, Same, "in query"),
    row("a query value closed", &[(In::Manifest, QUERY, "query = { limit = \"*\", expand = \"data.id\" }")], Same, More, "in query"),
    row("another query value", &[(In::Manifest, QUERY, "query = { limit = \"*\", expand = \"keys.*\" }")], More, More, "in query"),
    row("any query", &[(In::Manifest, QUERY, "")], More, Same, "in query"),
    row("no query", &[(In::Manifest, QUERY, "query = { }")], Same, More, "in query"),
    // Credential: which slot.
    row("another slot", &[(In::Manifest, BY_SEARCH, "credential = \"admin\"\nsafe = true")], More, More, "in credential"),
    row("a slot to choose more", &[(In::Manifest, BY_SEARCH, "credential = [\"key\", \"admin\"]\nsafe = true")], More, Same, "secret  `root` (api-key-header) as header x-admin to https://api.vendor.test:443"),
    row("a slot to choose less", &[(In::Manifest, "[\"key\", \"admin\"]", "[\"admin\"]")], Same, More, "in credential"),
    // Whose account it is would be the guest's choice.
    row("no credential", &[(In::Manifest, BY_SEARCH, "safe = true")], More, More, "in credential"),
    // Credential: what is bound.
    row("another credential", &[(In::Config, "key = \"live\"", "key = \"other\"")], More, More, "credential slot `key`"),
    row("another place", &[(In::Config, "header = \"X-Admin\"", "header = \"X-Other\"")], More, More, "header x-other"),
    row("from header to query", &[(In::Config, "header = \"X-Admin\"", "query = \"admin\"")], More, More, "query admin"),
    row("another scheme", &[(In::Config, "scheme = \"bearer\"\nsecret = \"file:live.key\"", "scheme = \"basic\"\nusername = \"u\"\npassword = \"file:live.key\"")], More, More, "(basic)"),
    row("another reference", &[(In::Config, "file:live.key", "file:rotated.key")], Same, Same, "COVERED"),
    // `X-Admin` would be the guest's to set; back, a secret comes to it.
    row("a slot less", &[(In::Manifest, "[\"key\", \"admin\"]", "\"key\""), (In::Manifest, ADMIN, ""), (In::Config, ", admin = \"root\"", "")], More, More, "the connector may set that name itself"),
    // What holds for a request.
    row("repeated within a longer window", &[(In::Manifest, "window = \"24h\"", "window = \"48h\"")], More, Same, "repeatable by Idempotency-Key for 48h"),
    row("the key's header in other letters", &[(In::Manifest, "header = \"Idempotency-Key\"", "header = \"idempotency-key\"")], Same, Same, "asks for the same"),
    row("another key header", &[(In::Manifest, "header = \"Idempotency-Key\"", "header = \"X-Key\"")], More, More, "in idempotency"),
    row("repeated", &[(In::Manifest, "credential = [\"key\", \"admin\"]", "credential = [\"key\", \"admin\"]\nidempotency = { header = \"Idempotency-Key\", window = \"1h\" }")], More, Same, "in idempotency"),
    // It would write where the approver was told that it reads.
    row("no longer safe", &[(In::Manifest, BY_SEARCH, "credential = \"key\"")], More, More, "in safe"),
    row("said to be safe", &[(In::Manifest, KEY, "idempotency = { header = \"Idempotency-Key\", window = \"24h\" }\nsafe = true")], More, More, "in safe"),
    row("said to be safe, where only read", &[(In::Manifest, QUERY, "query = { limit = \"*\", expand = \"data.*\" }\nsafe = true")], Same, Same, "COVERED"),
    // The guest would see where answers lead; back, requests leave that it did not send.
    row("redirects handed over", &[(In::Manifest, "redirect = \"follow\"\n", "")], More, More, "in redirect"),
    row("a header more", &[(In::Manifest, "guest-headers = [\"cookie\"]", "guest-headers = [\"cookie\", \"authorization\"]")], More, Same, "in guest-headers"),
    row("a header less", &[(In::Manifest, "guest-headers = [\"cookie\"]\n", "")], Same, More, "in guest-headers"),
    // URLs that answers name.
    wide("named URLs anywhere", &[(In::Manifest, "PUT https://up.vendor.test/**", "PUT https://*.vendor.test/**")], Same, "in host", "PUT https://down.vendor.test/**"),
    row("named by other answers", &[(In::Manifest, "of = \"POST https://api.vendor.test/v1/customers\"", "of = \"POST https://api.vendor.test/v1/search\"")], More, More, "in of"),
    row("named in another place", &[(In::Manifest, "at = [\"/url\", \"header:location\"]", "at = [\"/url\", \"/other\"]")], More, More, "in at"),
    row("named in one place less", &[(In::Manifest, "at = [\"/url\", \"header:location\"]", "at = [\"/url\"]")], Same, More, "in at"),
    // Two kinds of rule: neither is shown to cover the other.
    row("not named at all", &[(In::Manifest, NAMED, "allow = [\"PUT https://up.vendor.test/**\"]")], More, More, "from-response"),
    // Origins.
    wide("another origin", &[(In::Config, "https://acme.origin.test/t/7", "https://acme.evil.test/t/7")], More, "origin `instance`", "GET https://*.evil.test/**"),
    wide("an origin without its prefix", &[(In::Config, "https://acme.origin.test/t/7", "https://acme.origin.test")], More, "origin `instance`", "GET https://acme.origin.test/api/**"),
    // Addresses and the rest of the network.
    row("a wider range", &[(In::Config, "10.1.0.0/16", "10.0.0.0/8")], More, Same, "address range"),
    row("a narrower range", &[(In::Config, "10.1.0.0/16", "10.1.2.0/24")], Same, More, "address range"),
    row("a range more", &[(In::Config, "[\"10.1.0.0/16\"]", "[\"10.1.0.0/16\", \"127.0.0.1/32\"]")], More, Same, "127.0.0.1/32"),
    row("no range", &[(In::Config, "[\"10.1.0.0/16\"]", "[]")], Same, More, "address range"),
    row("a range of the other family", &[(In::Config, "10.1.0.0/16", "fd00:1::/32")], More, More, "fd00:1::/32"),
    row("a name dialled elsewhere", &[(In::Config, "127.0.0.1:8443", "127.0.0.1:9443")], More, More, "connect-to `api.vendor.test:443`"),
    row("a name dialled where DNS says", &[(In::Config, "\"api.vendor.test:443\" = \"127.0.0.1:8443\"", "")], More, More, "where DNS says"),
    row("another ca-file", &[(In::Config, "ca.pem", "other.pem")], More, More, "ca-file"),
    row("other roots", &[(In::Config, "roots = \"bundled\"", "roots = \"system\"")], More, More, "roots bundled → system"),
    // Imports and roles.
    row("an import more", &[(In::Imports, "portcullis:connector/log@0.1.0", "portcullis:connector/log@0.1.0 wasi:http/outgoing-handler@0.2.6")], More, Same, "wasi:http/outgoing-handler"),
    row("an import less", &[(In::Imports, "portcullis:connector/log@0.1.0", "")], Same, More, "import"),
    row("an import of another version", &[(In::Imports, "http@0.1.0", "http@0.2.0")], More, More, "http@0.2.0"),
    row("a role more", &[(In::Roles, "source actions", "source actions webhook")], More, Same, "role  webhook"),
    row("a role less", &[(In::Roles, "source actions", "source")], Same, More, "role  actions"),
    // Folders.
    row("a folder read too", &[(In::Manifest, "access = \"write\"", "access = \"read-write\"")], More, Same, "folder `out`"),
    row("a folder read instead", &[(In::Manifest, "access = \"write\"", "access = \"read\"")], More, More, "folder `out`"),
    row("another folder", &[(In::Config, "out = \"./out\"", "out = \"./other\"")], More, More, "./other (write)"),
    // Limits.
    row("a higher rate", &[(In::Manifest, "requests-per-second = 25", "requests-per-second = 25.5")], More, Same, "requests-per-second 25 → 25.5"),
    row("no rate", &[(In::Manifest, "[limits]\nrequests-per-second = 25\n", "")], More, Same, "25 → no limit"),
    row("the operator's own limits", &[(In::Config, "memory = \"64MiB\"", "memory = \"32MiB\"")], Same, Same, "COVERED"),
    // Schemas and operations: contracts, and no right to send anything.
    row("another schema", &[(In::Schema, "{\"type\":\"object\"}", "{\"type\":\"object\",\"required\":[\"id\"]}")], Same, Same, "schema `stream customers record`: it is another one"),
    row("the same masked, in capitals", &[(In::Manifest, "sensitive = [\"email\", \"phone\"]", "sensitive = [\"Email\", \"PHONE\"]")], Same, Same, "asks for the same"),
    row("a property no longer masked", &[(In::Manifest, "sensitive = [\"email\", \"phone\"]", "sensitive = [\"email\"]")], More, Same, "masked property `phone`"),
    row("an operation that narrows nothing", &[(In::Manifest, "http = [\"POST https://api.vendor.test/v1/search\"]\n", "")], More, Same, "every rule of the connector"),
    row("an operation more", &[(In::Manifest, "[folders.out]", "[actions.find]\ninput = \"any.json\"\noutput = \"any.json\"\n[folders.out]")], Same, Same, "operation `action find`: it is gone"),
    // How deliveries are verified: of two ways none lets pass less.
    row("another scheme of signatures", &[(In::Manifest, "signing = \"github\"", "signing = \"jira\"")], More, More, "webhook signing"),
    row("a wider window", &[(In::Manifest, "signing = \"github\"", "signing = { algorithm = \"hmac-sha256\", header = \"x-s\", encoding = \"hex\", signed = \"{timestamp}{body}\", timestamp = { header = \"x-t\", tolerance = \"1h\" } }")], More, More, "at most 3600 s from now"),
    row("the same scheme, written out", &[(In::Manifest, "signing = \"github\"", "signing = { algorithm = \"hmac-sha256\", header = \"x-hub-signature-256\", prefix = \"sha256=\", encoding = \"hex\", signed = \"{body}\" }")], Same, Same, "asks for the same"),
    row("several signatures in one header", &[(In::Manifest, "signing = \"github\"", "signing = { algorithm = \"hmac-sha256\", header = \"x-hub-signature-256\", prefix = \"sha256=\", encoding = \"hex\", separator = \",\", signed = \"{body}\" }")], More, More, "webhook signing"),
    row("no scheme of signatures", &[(In::Manifest, "[webhook]\nsigning = \"github\"\n", "")], More, More, "not said"),
    row("an action that is repeated", &[(In::Manifest, "delivery = \"at-most-once\"", "delivery = \"at-least-once\"")], More, Same, "at-least-once"),
];

pub const IMPORTS: &str =
    "portcullis:connector/http@0.1.0 portcullis:connector/log@0.1.0 wasi:clocks/wall-clock@0.2.6";

pub const SCHEMA: &str = "{\"type\":\"object\"}";

pub const CONFIG: &str = r#"
[credentials.live]
scheme = "bearer"
secret = "file:live.key"

[credentials.other]
scheme = "bearer"
secret = "file:other.key"

[credentials.root]
scheme = "api-key"
header = "X-Admin"
secret = "file:root.key"

[connections.crm]
connector = "acme/vendor"
credentials = { key = "live", admin = "root" }
origins = { instance = "https://acme.origin.test/t/7" }
folders = { out = "./out" }
allow = "requested"

[connections.crm.limits]
memory = "64MiB"

[connections.crm.network]
connect-to = { "api.vendor.test:443" = "127.0.0.1:8443" }
ca-file = "ca.pem"
addresses = ["10.1.0.0/16"]
roots = "bundled"
"#;

pub const BASE: &str = r#"
[connector]
name = "acme/vendor"
version = "1.0.0"
position-version = 1
config-version = 1
roles = ["source", "actions", "webhook"]
capabilities = ["files"]
summary = "a vendor"
config-schema = "config.json"

[credentials.key]
schemes = ["bearer", "basic"]
why = "acts for the account"

[credentials.admin]
schemes = ["bearer", "api-key-header", "api-key-query"]
why = "removes users"

[[http]]
allow = ["GET https://api.vendor.test/v1/customers/*"]
credential = "key"
query = { limit = "*", expand = "data.*" }
why = "read customers"

[[http]]
allow = ["POST https://api.vendor.test/v1/customers"]
credential = "key"
idempotency = { header = "Idempotency-Key", window = "24h" }
why = "create customers"

[[http]]
allow = ["POST https://api.vendor.test/v1/search"]
credential = "key"
safe = true
why = "search"

[[http]]
allow = ["GET https://*.files.vendor.test/d/*"]
redirect = "follow"
guest-headers = ["cookie"]
why = "download"

[[http]]
allow = ["DELETE https://admin.vendor.test:8443/v1/users/*"]
credential = ["key", "admin"]
why = "remove users"

[[http]]
allow = ["GET {origin.instance}/api/**"]
why = "the operator's own host"

[[http]]
from-response = { allow = "PUT https://up.vendor.test/**", of = "POST https://api.vendor.test/v1/customers", at = ["/url", "header:location"] }
why = "upload"

[actions.search]
input = "any.json"
output = "any.json"
http = ["POST https://api.vendor.test/v1/search"]

[actions.create]
input = "any.json"
output = "any.json"
http = ["POST https://api.vendor.test/v1/customers"]
delivery = "at-most-once"

[streams.customers]
schema = "customer.json"
primary-key = ["id"]
sensitive = ["email", "phone"]
http = ["GET https://api.vendor.test/v1/customers/*"]

[folders.out]
access = "write"
why = "files that were downloaded"

[webhook]
signing = "github"

[limits]
requests-per-second = 25
"#;

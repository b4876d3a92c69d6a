//! Every key of `portcullis.toml`, once: its type, its default, words for people. `schema` and `config show` are made of it, and
//! tests hold it against what the parser (`authored`) accepts and what docs/configuration.md says. Reads nothing itself.

/// One table of the config, or one form that it can have.
pub struct Section {
    /// What it is for.
    pub words: &'static str,
    /// Its keys, in the order in which people write them.
    pub keys: &'static [Key],
}

/// One key.
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What may stand behind it.
    pub is: Is,
    /// What holds where it is absent, as text.
    pub default: Option<&'static str>,
    /// Whether the table can't do without.
    pub required: bool,
    /// For people.
    pub words: &'static str,
}

/// What may stand behind a key.
#[derive(Clone, Copy)]
pub enum Is {
    /// A string.
    Text,
    /// A path, from the config's folder on.
    Path,
    /// A reference to a secret.
    Reference,
    /// A string that may be a person's, or a table with a reference.
    NameOrReference,
    /// `PUBLISHER/NAME@VERSION`
    Connector,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// `64MiB`
    Bytes,
    /// `30s`
    Time,
    /// A whole number from 1 on.
    Count(i64),
    /// Requests a second.
    Rate,
    /// `true` or `false`.
    Flag,
    /// A list of strings.
    Texts,
    /// A list of rules, or `"requested"`.
    RulesOrRequested,
    /// A list of rules that is not empty.
    Rules,
    /// Names to strings.
    Map,
    /// Names of origins to origins.
    Origins,
    /// Names to paths.
    Paths,
    /// The connector's own: a table of anything.
    Foreign,
    /// A table.
    Table(&'static Section),
    /// Tables by name.
    Named(Names, &'static [Section]),
}

/// What names tables may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Any.
    Any,
    /// Those of connections.
    Label,
    /// Any that no built-in provider has.
    NotBuiltIn,
}

impl Key {
    const fn new(name: &'static str, is: Is, words: &'static str) -> Self {
        Self { name, is, default: None, required: false, words }
    }

    const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }
}

use Is::{
    Bytes, Choice, Connector, Count, Flag, Foreign, Map, NameOrReference, Named, Origins, Path, Paths, Rate,
    Reference, Rules, RulesOrRequested, Table, Text, Texts, Time,
};

/// The whole file.
pub static ROOT: Section = Section {
    words: "The config of one portcullis. Nothing secret stands in it; relative paths start at its folder.",
    keys: &[
        Key::new("registry", Path, "folder of components: PUBLISHER/NAME/VERSION.wasm").or("registry"),
        Key::new(
            "data",
            Path,
            "databases, approved components, what was approved and what has ended; nobody else may write to it, and it is \
             not for version control",
        )
        .or("data"),
        Key::new(
            "secrets",
            Named(Names::NotBuiltIn, SECRETS),
            "named providers of secrets; `file:`, `directory:` and `env:` work without one",
        ),
        Key::new("credentials", Named(Names::Any, CREDENTIALS), "shared by the connections that bind a slot to them"),
        Key::new("boundary", Table(&BOUNDARY), "what no approval may exceed, whoever gave it"),
        Key::new("publishers", Named(Names::Label, PUBLISHERS), "whose signatures are checked, and by which key"),
        Key::new("retention", Table(&RETENTION), "how long history is kept in `data`"),
        Key::new("connections", Named(Names::Label, CONNECTIONS), "one connector each, with what it may use"),
    ],
};

const SECRETS: &[Section] = &[
    Section {
        words: "files of one folder: nothing leads out of it",
        keys: &[
            Key::new("type", Choice(&["file"]), "files of one folder").required(),
            Key::new("path", Path, "the folder that references start in").required(),
        ],
    },
    Section {
        words: "a mounted folder, where the group may read too",
        keys: &[
            Key::new("type", Choice(&["directory"]), "a mounted folder").required(),
            Key::new("path", Path, "the folder that references start in").required(),
        ],
    },
    Section {
        words: "variables of the environment",
        keys: &[
            Key::new("type", Choice(&["env"]), "variables of the environment").required(),
            Key::new("prefix", Text, "what the variables' names begin with; a reference names the rest")
                .or(""),
        ],
    },
];

const SECRET: Key = Key::new(
    "secret",
    Reference,
    "where the secret is: PROVIDER:PATH[#KEY][@VERSION], as in `file:stripe.key`",
)
.required();
const RATE: Key = Key::new(
    "requests-per-second",
    Rate,
    "of all connections together; absent = what the connector's author proposes, the smallest where several share it",
);
const SHORT: Key =
    Key::new("short", Flag, "accepts a secret under 8 bytes, which is masked in innocent places too")
        .or("false");

const CREDENTIALS: &[Section] = &[
    Section {
        words: "Authorization: Bearer SECRET",
        keys: &[
            Key::new("scheme", Choice(&["bearer"]), "how requests are authenticated").required(),
            SECRET,
            RATE,
            SHORT,
        ],
    },
    Section {
        words: "Authorization: Basic, of user name and password",
        keys: &[
            Key::new("scheme", Choice(&["basic"]), "how requests are authenticated").required(),
            Key::new("username", NameOrReference, "plain text, or `{ secret = \"file:user\" }`").required(),
            Key::new("password", Reference, "where the password is; absent = empty"),
            RATE,
            SHORT,
        ],
    },
    Section {
        words: "an API key in a header",
        keys: &[
            Key::new("scheme", Choice(&["api-key"]), "how requests are authenticated").required(),
            SECRET,
            Key::new("header", Text, "the header that carries it").required(),
            Key::new("prefix", Text, "text before the secret in the header: `Token `"),
            RATE,
            SHORT,
        ],
    },
    Section {
        words: "an API key in the query",
        keys: &[
            Key::new("scheme", Choice(&["api-key"]), "how requests are authenticated").required(),
            SECRET,
            Key::new("query", Text, "the query pair that carries it").required(),
            RATE,
            SHORT,
        ],
    },
];

static BOUNDARY: Section = Section {
    words: "What no approval may exceed, whoever gave it. Here alone `*` is any host.",
    keys: &[
        Key::new(
            "allow",
            Rules,
            "where there are any, each rule that a connector requests must be covered by one",
        ),
        Key::new("deny", Rules, "no rule that a connector requests may overlap one of these"),
    ],
};

const PUBLISHERS: &[Section] = &[Section {
    words: "whose signatures are checked",
    keys: &[Key::new(
        "key",
        Text,
        "the publisher's ed25519 key: the line between BEGIN and END that `openssl pkey -pubout` prints",
    )
    .required()],
}];

static RETENTION: Section = Section {
    words: "How long history is kept in `data`: what is older goes, and beyond a size the oldest.",
    keys: &[
        Key::new("exchanges-age", Time, "the exchange log; at least 1h").or("30d"),
        Key::new(
            "exchanges-size",
            Bytes,
            "the exchange log, 16MiB to 1TiB; one connection keeps an eighth of it",
        )
        .or("2GiB"),
        Key::new("runs-age", Time, "runs with their input and output; at least 1h").or("365d"),
        Key::new("runs-size", Bytes, "runs with their input and output, 16MiB to 1TiB").or("2GiB"),
    ],
};

const CONNECTIONS: &[Section] = &[Section {
    words: "one connector, with what it may use",
    keys: &[
        Key::new(
            "connector",
            Connector,
            "PUBLISHER/NAME@VERSION, the version as in Cargo (`^1`, `=1.2.0`); without it, any",
        )
        .required(),
        Key::new("credentials", Map, "slot of the connector = name of a credential").or("{}"),
        Key::new(
            "origins",
            Origins,
            "hosts that only you know: `{ instance = \"https://acme.service-now.com\" }`",
        )
        .or("{}"),
        Key::new("folders", Paths, "folders that the connector may use: `{ out = \"./out\" }`").or("{}"),
        Key::new(
            "allow",
            RulesOrRequested,
            "`requested`: all that the lock approved; or a list of narrower rules",
        )
        .required(),
        Key::new("config", Foreign, "values for the connector, held to its schema; nothing secret").or("{}"),
        Key::new("capture", Choice(&["errors", "all", "none"]), "bodies in the exchange log").or("errors"),
        Key::new("sensitive", Texts, "further property names that are masked there").or("[]"),
        Key::new("updates", Choice(&["ask", "same-grants"]), "what `portcullis update` may take by itself")
            .or("ask"),
        Key::new("owner", Text, "who to ask, for people"),
        Key::new("runbook", Text, "what to do, for people"),
        Key::new("limits", Table(&LIMITS), "what one call or run may use"),
        Key::new("network", Table(&NETWORK), "how the network is reached; shown by `approve` and pinned"),
    ],
}];

static LIMITS: Section = Section {
    words: "What one call or run may use.",
    keys: &[
        Key::new("memory", Bytes, "of one instance; at most 256MiB").or("64MiB"),
        Key::new("timeout", Time, "one call or page, host calls included; at most 600s").or("30s"),
        Key::new("cpu", Time, "one call or page; at most 60s").or("5s"),
        Key::new("requests", Count(10_000_000), "one run, refused requests too").or("100000"),
        Key::new("bytes-out", Bytes, "requests of one run as sent, URL and headers included, repeats too")
            .or("64MiB"),
        Key::new("response", Bytes, "one decoded body; at most 8MiB").or("8MiB"),
        Key::new("spool", Bytes, "blobs of one run on disk; also one decoded body that is read in pieces")
            .or("1GiB"),
        Key::new("concurrency", Count(1_000), "calls at a time").or("16"),
        Key::new("log", Bytes, "one call or page; at most 1MiB").or("64KiB"),
    ],
};

static NETWORK: Section = Section {
    words: "How the network is reached. All of it is shown by `approve` and pinned in the lock.",
    keys: &[
        Key::new(
            "connect-to",
            Map,
            "`{ \"api.stripe.com:443\" = \"127.0.0.1:8443\" }`: dial elsewhere, with the same name in TLS",
        )
        .or("{}"),
        Key::new("addresses", Texts, "loopback or private ranges that may be dialled: `[\"10.1.0.0/16\"]`")
            .or("[]"),
        Key::new("ca-file", Path, "PEM, a file of at most 1 MiB; replaces the roots"),
        Key::new("roots", Choice(&["bundled", "system"]), "whose certificate authorities are trusted")
            .or("bundled"),
    ],
};

impl Section {
    /// The form that a table of these has: whose fixed words it has, and whose keys.
    pub fn of<'s>(forms: &'s [Self], table: &serde_json::Value) -> Option<&'s Self> {
        let fits = |form: &&Self| {
            let fixed = |key: &Key| match key.is {
                Choice([only]) if key.required => table.get(key.name).is_some_and(|value| value == only),
                _ => true,
            };
            let known = |name: &String| form.keys.iter().any(|key| key.name == name);
            form.keys.iter().all(fixed) && table.as_object().is_some_and(|table| table.keys().all(known))
        };
        forms.iter().find(fits)
    }
}

#[cfg(test)]
mod tests;

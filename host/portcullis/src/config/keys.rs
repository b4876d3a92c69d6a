//! Every key of `portcullis.toml`, once: its type, its default, words for people. `schema` and `config show` are made of it, and
//! tests hold it against what the parser (`authored`) accepts and what docs/configuration.md says. Reads nothing itself.
use portcullis_manifest::keys::{Is, Key, Names, Section};

use Is::{
    Bytes, Choice, Choices, Connector, Count, Flag, Foreign, Map, NameOrReference, Named, OneOf, Origins,
    Path, Paths, Rate, Reference, Rules, RulesOrRequested, Share, Table, Tables, Text, Texts, Time,
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
        Key::new("serve", Table(&SERVE), "where `portcullis serve` listens, and how much it takes"),
        Key::new("webhooks", Named(Names::Label, WEBHOOKS), "where vendors deliver to"),
        Key::new("flows", Named(Names::Label, FLOWS), "what is done by itself: what begins it, and its steps"),
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
        Key::new(
            "deliveries-age",
            Time,
            "deliveries that are done or given up, with their events; at least 1h",
        )
        .or("30d"),
        Key::new("deliveries-size", Bytes, "the same, 16MiB to 1TiB; what waits or is dead stays").or("2GiB"),
    ],
};

static SERVE: Section = Section {
    words: "Where `portcullis serve` listens, and how much it takes.",
    keys: &[
        Key::new("ingress", Text, "address and port to which vendors, or a proxy in front, deliver")
            .or("127.0.0.1:8080"),
        Key::new("operator", Text, "address and port that tell health and readiness").or("127.0.0.1:8081"),
        Key::new(
            "public-url",
            Text,
            "the origin under which vendors know `ingress`: `https://hooks.example.com`; never read from a request",
        ),
        Key::new("certificate", Path, "PEM, the chain; without it, plain HTTP for a proxy in front"),
        Key::new("private-key", Reference, "where the certificate's private key is, PEM"),
        Key::new("trusted-proxies", Texts, "ranges whose `X-Forwarded-For` is believed: `[\"10.0.0.0/8\"]`")
            .or("[]"),
        Key::new("backlog", Count(10_000_000), "deliveries that may wait; further ones are answered 503")
            .or("1000000"),
        Key::new("backlog-size", Bytes, "what those may take together").or("4GiB"),
    ],
};

const WEBHOOKS: &[Section] = &[Section {
    words: "one path to which a vendor delivers",
    keys: &[
        Key::new("connection", Text, "whose connector reads what comes, and says how its vendor signs")
            .required(),
        Key::new("path", Text, "as vendors send it: `/hooks/stripe`").required(),
        Key::new("secret", Reference, "where the secret is that signs, or the vendor's public key"),
        Key::new("previous-secret", Reference, "one that still signs, during a rotation"),
        Key::new(
            "verify-token",
            Reference,
            "where the token is that you gave the vendor, and that it shows when it first asks (`handshake = \"meta\"`)",
        ),
        Key::new("unsigned", Flag, "`true`: anybody who knows the address delivers").or("false"),
        Key::new("body", Bytes, "of one delivery; at most 8MiB").or("1MiB"),
        Key::new("requests-per-second", Rate, "further ones are answered 429; absent = no bound of its own"),
    ],
}];

const FLOWS: &[Section] = &[Section {
    words: "what is done by itself, one step behind the other",
    keys: &[
        Key::new("schedule", OneOf(SCHEDULES), "begins a run at its times"),
        Key::new("webhook", Table(&FLOW_WEBHOOK), "begins a run for each event of a route"),
        Key::new("after", Table(&FLOW_AFTER), "begins a run at the end of another flow's"),
        Key::new(
            "order-by",
            Text,
            "a pointer into the input, `/customer/id`: runs that have the same there go one behind the other",
        ),
        Key::new("concurrency", Count(64), "runs at a time").or("4"),
        Key::new("steps", Tables(STEPS), "what a run does, in order; at most 100").required(),
    ],
}];

const OVERLAP: Key =
    Key::new("overlap", Choice(&["skip", "queue"]), "a time that comes while an earlier run waits or runs")
        .or("skip");
const CATCH_UP: Key = Key::new(
    "catch-up",
    Choice(&["one", "all", "none"]),
    "times that came while nobody looked: a run for the last of them, for each of the last 1000, or for none",
)
.or("one");

const SCHEDULES: &[Section] = &[
    Section {
        words: "times of a calendar",
        keys: &[
            Key::new("cron", Text, "minute, hour, day of the month, month, day of the week").required(),
            Key::new("timezone", Text, "of the IANA database: `Europe/Berlin`").or("UTC"),
            OVERLAP,
            CATCH_UP,
        ],
    },
    Section {
        words: "an interval",
        keys: &[
            Key::new("every", Time, "whole multiples of it since 1970-01-01T00:00Z; 1s to 366d").required(),
            OVERLAP,
            CATCH_UP,
        ],
    },
];

static FLOW_WEBHOOK: Section = Section {
    words: "events of a route",
    keys: &[
        Key::new("route", Text, "name of a `[webhooks.NAME]`").required(),
        Key::new("events", Texts, "names of events; without one, every event").or("[]"),
    ],
};

static FLOW_AFTER: Section = Section {
    words: "the end of a run of another flow",
    keys: &[
        Key::new("flow", Text, "the other flow's name").required(),
        Key::new("outcomes", Choices(&["succeeded", "dead-lettered", "unknown"]), "how its run ended")
            .or("[\"succeeded\"]"),
    ],
};

const STEP_NAME: Key =
    Key::new("name", Text, "of the step, in `$steps`; absent = `step-` and its number from 1 on");
const WHEN: Key = Key::new("when", Text, "jq: the step is passed over where it says `false` or `null`");
const FOR_EACH: Key =
    Key::new("for-each", Text, "jq: the step is done for each of its outputs, at most 10000");

const STEPS: &[Section] = &[
    Section {
        words: "has a connection do something",
        keys: &[
            STEP_NAME,
            WHEN,
            FOR_EACH,
            Key::new("action", Table(&FLOW_ACTION), "what is called").required(),
            Key::new("input", Text, "jq: what it is called with; absent = what the step before left"),
        ],
    },
    Section {
        words: "computes",
        keys: &[
            STEP_NAME,
            WHEN,
            FOR_EACH,
            Key::new("map", Text, "jq: what it makes of what the step before left").required(),
        ],
    },
    Section {
        words: "changes places of a value",
        keys: &[
            STEP_NAME,
            WHEN,
            FOR_EACH,
            Key::new("rename", Map, "pointer = the new name of that key"),
            Key::new("cast", Map, "pointer = `string`, `integer`, `number` or `boolean`"),
            Key::new("default", Foreign, "pointer = what is there where nothing, or `null`, was"),
            Key::new("drop", Texts, "pointers to what is taken out"),
            Key::new("mask", Texts, "pointers to what becomes `***`"),
        ],
    },
    Section {
        words: "copies streams of one connection into another",
        keys: &[
            STEP_NAME,
            WHEN,
            Key::new("source", Table(&FLOW_SOURCE), "what is read").required(),
            Key::new("destination", Table(&FLOW_DESTINATION), "where it is written").required(),
            Key::new(
                "map",
                Text,
                "jq: the object that is written of each record; nothing = the record is dropped",
            ),
        ],
    },
];

static FLOW_SOURCE: Section = Section {
    words: "streams of a connection",
    keys: &[
        Key::new("connection", Text, "the connection's name").required(),
        Key::new("streams", Texts, "names of streams, at least one; each is read for itself").required(),
    ],
};

static FLOW_DESTINATION: Section = Section {
    words: "a connection that is written to",
    keys: &[
        Key::new("connection", Text, "the connection's name").required(),
        Key::new(
            "mode",
            Choice(&["append", "upsert", "replace"]),
            "each record is added; or goes into the place of the one of its key; or the same, where every read begins at the start and what \
             did not come is removed",
        )
        .or("append"),
        Key::new("stream-prefix", Text, "what the streams' names begin with there").or(""),
    ],
};

static FLOW_ACTION: Section = Section {
    words: "an action of a connection",
    keys: &[
        Key::new("connection", Text, "the connection's name").required(),
        Key::new("name", Text, "the action's").required(),
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
        Key::new("sensitive", Texts, "further property names that are masked there; what a run was given and answered (`runs show`) is kept whole").or("[]"),
        Key::new("updates", Choice(&["ask", "same-grants"]), "what `portcullis update` may take by itself")
            .or("ask"),
        Key::new(
            "deletes",
            Choice(&["hard", "soft", "ignore"]),
            "as a destination of flows: what was deleted at the source is removed; or stays, and its record says so; or stays as it was",
        )
        .or("soft"),
        Key::new(
            "removed-share-max",
            Share,
            "as a destination of flows: how much of a stream may be removed at once for not having come any more",
        )
        .or("0.1"),
        Key::new(
            "on-expired",
            Choice(&["stop", "restart"]),
            "as a source of flows: what becomes of a stream whose vendor does not know any more where an earlier read came to",
        )
        .or("stop"),
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

#[cfg(test)]
mod tests;

//! The double's model of Stripe: objects by kind, newest first, lists with `limit`, `starting_after` and `created[gte]`, errors in
//! Stripe's JSON, and idempotency keys that answer the first answer again. Pure: no I/O, no clock, no wire.

use super::{
    form,
    limits::{KEYS_MAX, OBJECTS_MAX, PAGE_DEFAULT, PAGE_MAX},
};
use portcullis_clock::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

mod seed;

/// An answer before it becomes bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    /// Something was made or changed.
    pub(super) effect: bool,
    /// The answer of an earlier request with the same key.
    pub(super) replayed: bool,
}

impl Answer {
    fn ok(body: Value, effect: bool) -> Self {
        Self { status: 200, body, effect, replayed: false }
    }

    /// An error as Stripe writes it.
    pub(super) fn error(status: u16, kind: &str, code: Option<&str>, message: &str) -> Self {
        let mut error = json!({"type": kind, "message": message});
        if let Some(code) = code {
            error["code"] = Value::String(code.to_owned());
        }
        Self { status, body: json!({"error": error}), effect: false, replayed: false }
    }

    fn no_such(kind: &str, id: &str) -> Self {
        Self::error(
            404,
            "invalid_request_error",
            Some("resource_missing"),
            &format!("No such {kind}: '{id}'"),
        )
    }

    fn no_route(method: &str, path: &str) -> Self {
        Self::error(
            404,
            "invalid_request_error",
            None,
            &format!("Unrecognized request URL ({method}: {path})"),
        )
    }
}

/// A request, as far as the model looks at it.
pub(super) struct Call<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    pub(super) idempotency_key: Option<&'a str>,
    pub(super) now: Timestamp,
}

/// What a collection is called on the wire and in its objects.
struct Kind {
    collection: &'static str,
    object: &'static str,
    prefix: &'static str,
    /// `POST /v1/COLLECTION` makes one.
    creates: bool,
}

const KINDS: [Kind; 7] = [
    Kind { collection: "customers", object: "customer", prefix: "cus", creates: true },
    Kind { collection: "invoices", object: "invoice", prefix: "in", creates: false },
    Kind { collection: "charges", object: "charge", prefix: "ch", creates: false },
    Kind { collection: "subscriptions", object: "subscription", prefix: "sub", creates: false },
    Kind { collection: "payment_intents", object: "payment_intent", prefix: "pi", creates: true },
    Kind { collection: "events", object: "event", prefix: "evt", creates: false },
    Kind { collection: "refunds", object: "refund", prefix: "re", creates: true },
];

/// What the vendor holds.
pub(super) struct Model {
    /// By collection; within one in order of creation, so that lists read from the end.
    objects: BTreeMap<&'static str, Vec<Value>>,
    /// Key → path and body of the first request that brought it, and its answer.
    keys: BTreeMap<String, (String, Vec<u8>, Answer)>,
    made: u64,
}

impl Model {
    pub(super) fn new(customers: usize, now: Timestamp) -> Self {
        let mut model = Self { objects: BTreeMap::new(), keys: BTreeMap::new(), made: 0 };
        seed::fill(&mut model.objects, customers.min(OBJECTS_MAX), seconds(now));
        model
    }

    pub(super) fn customers(&self) -> usize {
        self.objects.get("customers").map_or(0, Vec::len)
    }

    pub(super) fn customer(&self, id: &str) -> Option<&Value> {
        self.objects.get("customers")?.iter().find(|customer| customer["id"] == id)
    }

    /// Answers one request and has its effect.
    pub(super) fn answer(&mut self, call: &Call<'_>) -> Answer {
        let Some(key) = call.idempotency_key.filter(|_| call.method == "POST") else {
            return self.act(call);
        };
        if let Some((path, body, first)) = self.keys.get(key) {
            if path != call.path || body != call.body {
                let message = "Keys for idempotent requests can only be used with the same parameters they were first used with";
                return Answer::error(400, "idempotency_error", None, message);
            }
            return Answer { effect: false, replayed: true, ..first.clone() };
        }
        let answer = self.act(call);
        if self.keys.len() < KEYS_MAX {
            self.keys.insert(key.to_owned(), (call.path.to_owned(), call.body.to_vec(), answer.clone()));
        }
        answer
    }

    fn act(&mut self, call: &Call<'_>) -> Answer {
        let mut segments = call.path.trim_start_matches('/').split('/');
        let (version, collection, id, rest) =
            (segments.next(), segments.next(), segments.next(), segments.next());
        let kind = KINDS.iter().find(|kind| Some(kind.collection) == collection);
        let (Some("v1"), Some(kind), None) = (version, kind, rest) else {
            return Answer::no_route(call.method, call.path);
        };
        match (call.method, id) {
            ("GET", None) => self.list(kind, call.query),
            ("GET", Some(id)) => self.retrieve(kind, id),
            ("POST", None) if kind.creates => self.create(kind, call),
            ("POST", Some(id)) if kind.creates => self.update(kind, id, call),
            ("DELETE", Some(id)) if kind.creates => self.delete(kind, id),
            _ => Answer::no_route(call.method, call.path),
        }
    }

    fn list(&self, kind: &Kind, query: &str) -> Answer {
        let query = form::pairs(query);
        let limit = match form::value(&query, "limit").map(str::parse::<usize>) {
            None => PAGE_DEFAULT,
            Some(Ok(limit)) if (1..=PAGE_MAX).contains(&limit) => limit,
            Some(_) => return Answer::error(400, "invalid_request_error", None, "Invalid integer: limit"),
        };
        let since = form::value(&query, "created[gte]")
            .and_then(|since| since.parse::<i64>().ok())
            .unwrap_or(i64::MIN);
        let all = self.objects.get(kind.collection).map_or(&[][..], Vec::as_slice);
        let mut newest =
            all.iter().rev().filter(|object| object["created"].as_i64().unwrap_or(0) >= since).peekable();
        if let Some(after) = form::value(&query, "starting_after") {
            if !all.iter().any(|object| object["id"] == after) {
                return Answer::no_such(kind.object, after);
            }
            while newest.next_if(|object| object["id"] != after).is_some() {}
            newest.next();
        }
        let data: Vec<Value> = newest.by_ref().take(limit).cloned().collect();
        let body = json!({
            "object": "list", "url": format!("/v1/{}", kind.collection), "has_more": newest.peek().is_some(), "data": data,
        });
        Answer::ok(body, false)
    }

    fn retrieve(&self, kind: &Kind, id: &str) -> Answer {
        let found =
            self.objects.get(kind.collection).and_then(|all| all.iter().find(|object| object["id"] == id));
        found.map_or_else(|| Answer::no_such(kind.object, id), |object| Answer::ok(object.clone(), false))
    }

    fn create(&mut self, kind: &Kind, call: &Call<'_>) -> Answer {
        let fields = fields(call.body);
        if let Some(fault) = fault(kind, &fields) {
            return fault;
        }
        let objects = self.objects.entry(kind.collection).or_default();
        if objects.len() >= OBJECTS_MAX {
            return Answer::error(400, "api_error", None, "The double holds no more objects");
        }
        self.made += 1;
        let id = format!("{}_new{:06}", kind.prefix, self.made);
        let mut object = seed::object(kind.object, &id, seconds(call.now));
        merge(&mut object, fields);
        objects.push(object.clone());
        Answer::ok(object, true)
    }

    fn update(&mut self, kind: &Kind, id: &str, call: &Call<'_>) -> Answer {
        let fields = fields(call.body);
        if let Some(fault) = fault(kind, &fields).filter(|_| kind.object == "customer") {
            return fault;
        }
        let found = self
            .objects
            .get_mut(kind.collection)
            .and_then(|all| all.iter_mut().find(|object| object["id"] == id));
        let Some(object) = found else { return Answer::no_such(kind.object, id) };
        merge(object, fields);
        Answer::ok(object.clone(), true)
    }

    fn delete(&mut self, kind: &Kind, id: &str) -> Answer {
        let Some(all) = self.objects.get_mut(kind.collection) else {
            return Answer::no_such(kind.object, id);
        };
        let before = all.len();
        all.retain(|object| object["id"] != id);
        if all.len() == before {
            return Answer::no_such(kind.object, id);
        }
        Answer::ok(json!({"id": id, "object": kind.object, "deleted": true}), true)
    }
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1000)
}

fn fields(body: &[u8]) -> Map<String, Value> {
    form::object(&form::pairs(&String::from_utf8_lossy(body)))
}

/// The two faults that the demo and its readers meet: a bad address, a missing amount.
fn fault(kind: &Kind, fields: &Map<String, Value>) -> Option<Answer> {
    let invalid =
        |code, message: &str| Some(Answer::error(400, "invalid_request_error", Some(code), message));
    if let Some(email) = fields.get("email").and_then(Value::as_str)
        && !email.is_empty()
        && !email.contains('@')
    {
        return invalid("email_invalid", &format!("Invalid email address: {email}"));
    }
    if kind.object == "payment_intent" {
        for name in ["amount", "currency"] {
            if !fields.contains_key(name) {
                return invalid("parameter_missing", &format!("Missing required param: {name}."));
            }
        }
    }
    None
}

/// Fields replace; `metadata` is merged; what reads as a whole number where a number stood stays a number.
fn merge(object: &mut Value, fields: Map<String, Value>) {
    let Value::Object(object) = object else { return };
    for (name, value) in fields {
        match (object.get_mut(&name), value) {
            (Some(Value::Object(inner)), Value::Object(values)) => inner.extend(values),
            (Some(Value::Number(number)), Value::String(text)) => {
                if let Ok(parsed) = text.parse::<i64>() {
                    *number = parsed.into();
                }
            }
            (_, value) => {
                object.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;

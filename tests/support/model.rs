//! A model vendor that keeps books: a small Stripe whose customers live outside the product's processes, with idempotency keys
//! and an append-only list of every effect. The oracle of the durability tests.

use crate::vendor::{Asked, Next, Vendor, reply};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex},
};

/// The key that it wants.
pub const KEY: &str = "sk_test_model_4f1d0c7a9b";

/// Something that was done at the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// The key that came along.
    pub key: Option<String>,
    /// What was made.
    pub id: String,
    /// The request's body.
    pub body: String,
}

#[derive(Default)]
struct Books {
    /// In order of creation.
    customers: Vec<Value>,
    keys: HashMap<String, Value>,
    effects: Vec<Effect>,
    /// Every answer is held back until this many requests came, then all are given: 0 = none is held.
    reads: usize,
}

/// A running model.
pub struct Model {
    books: Arc<Mutex<Books>>,
    vendor: Vendor,
}

impl Model {
    /// Knows `customers` of them from the beginning; `before_answer` runs before each answer is written, effect done.
    pub fn start(customers: usize, before_answer: impl Fn(&Asked) + Send + Sync + 'static) -> Self {
        let books = Arc::new(Mutex::new(Books::default()));
        for n in 0..customers {
            // Three share each second, so that readers meet ties.
            let created = 1_700_000_000 + i64::try_from(n / 3).unwrap();
            books.lock().unwrap().customers.push(customer(&format!("cus_{n:06}"), created, None));
        }
        let kept = Arc::clone(&books);
        let vendor = Vendor::tls(&["api.stripe.com"], move |asked, wire| {
            let (status, body) = answer(&kept, asked);
            before_answer(asked);
            write(wire, status, &body)
        });
        Self { books, vendor }
    }

    /// The wire below.
    pub fn vendor(&self) -> &Vendor {
        &self.vendor
    }

    /// Everything done so far.
    pub fn effects(&self) -> Vec<Effect> {
        self.books.lock().unwrap().effects.clone()
    }

    /// Every living customer by id.
    pub fn ids(&self) -> Vec<String> {
        let books = self.books.lock().unwrap();
        books.customers.iter().map(|customer| customer["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Pages asked for.
    pub fn reads(&self) -> usize {
        self.books.lock().unwrap().reads
    }

    /// What a config needs to reach it: connection `billing` of the shipped connector, `stripe.key` beside it.
    pub fn config(&self) -> String {
        format!(
            r#"
[credentials.stripe-live]
scheme = "bearer"
secret = "file:stripe.key"

[connections.billing]
connector = "portcullis/stripe@^0.1"
credentials = {{ secret-key = "stripe-live" }}
allow = "requested"
[connections.billing.network]
connect-to = {{ "api.stripe.com:443" = "127.0.0.1:{}" }}
ca-file = "ca.pem"
addresses = ["127.0.0.1/32"]
"#,
            self.vendor.port()
        )
    }
}

fn customer(id: &str, created: i64, email: Option<&str>) -> Value {
    json!({"id": id, "object": "customer", "created": created, "livemode": false, "email": email, "metadata": {}})
}

fn write(wire: &mut dyn Write, status: u16, body: &Value) -> Next {
    reply(wire, status, &[("Content-Type", "application/json")], body.to_string().as_bytes())
}

fn fault(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"error": {"type": "invalid_request_error", "message": message}}))
}

fn answer(books: &Mutex<Books>, asked: &Asked) -> (u16, Value) {
    if asked.header("authorization") != Some(&format!("Bearer {KEY}")) {
        return fault(401, "Invalid API Key provided");
    }
    let mut books = books.lock().unwrap();
    match (asked.method.as_str(), asked.path()) {
        ("GET", "/v1/customers") => {
            books.reads += 1;
            list(&books, asked)
        }
        ("POST", "/v1/customers") => {
            let key = asked.header("idempotency-key").map(str::to_owned);
            if let Some(known) = key.as_ref().and_then(|key| books.keys.get(key)) {
                return (200, known.clone());
            }
            let id = format!("cus_new{:06}", books.effects.len());
            let made = customer(&id, 1_800_000_000, None);
            let body = String::from_utf8_lossy(&asked.body).into_owned();
            books.effects.push(Effect { key: key.clone(), id, body });
            books.customers.push(made.clone());
            if let Some(key) = key {
                books.keys.insert(key, made.clone());
            }
            (200, made)
        }
        _ => fault(404, "Unrecognized request URL"),
    }
}

fn parameter(asked: &Asked, name: &str) -> Option<String> {
    let query = asked.query().replace("%5B", "[").replace("%5D", "]");
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
}

fn list(books: &Books, asked: &Asked) -> (u16, Value) {
    let limit = parameter(asked, "limit").map_or(10, |limit| limit.parse().unwrap());
    let since: i64 = parameter(asked, "created[gte]").map_or(0, |since| since.parse().unwrap());
    let newest: Vec<&Value> = books
        .customers
        .iter()
        .rev()
        .filter(|customer| customer["created"].as_i64().unwrap() >= since)
        .collect();
    let from = match parameter(asked, "starting_after") {
        None => 0,
        Some(id) => match newest.iter().position(|customer| customer["id"] == id.as_str()) {
            Some(place) => place + 1,
            None => return fault(400, "No such customer"),
        },
    };
    let data: Vec<&Value> = newest.iter().skip(from).take(limit).copied().collect();
    let more = newest.len() > from + data.len();
    (200, json!({"object": "list", "url": "/v1/customers", "has_more": more, "data": data}))
}

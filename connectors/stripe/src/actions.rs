//! The actions. The host has checked the input against the action's schema, so its fields are Stripe's own parameters and
//! pass as they are; Stripe's answer passes as it came.
use crate::request;
use portcullis_sdk::{Error, Outcome, Result, http};
use serde_json::{Map, Value};

/// Runs one action.
pub(crate) fn invoke(action: &str, mut fields: Map<String, Value>) -> Result<Outcome> {
    let request = match action {
        "create-customer" => request::post("customers").form_nested(&fields),
        "update-customer" => request::post(&take_customer(&mut fields)?).form_nested(&fields),
        "retrieve-customer" => request::get(&take_customer(&mut fields)?),
        "create-payment-intent" => request::post("payment_intents").form_nested(&fields),
        "create-refund" => request::post("refunds").form_nested(&fields),
        other => return Err(Error::unsupported_action(other)),
    };
    Outcome::done_raw(request.send()?.error_for_status()?.into_text()?)
}

/// Takes `customer` out of the input, since Stripe wants it in the path: `customers/cus_…`.
fn take_customer(fields: &mut Map<String, Value>) -> Result<String> {
    match fields.remove("customer") {
        Some(Value::String(id)) if !id.is_empty() => Ok(format!("customers/{}", http::segment(&id))),
        _ => Err(Error::invalid_input("`/customer` is missing: the id of a customer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::{
        ErrorKind,
        harness::{Sent, with_vendor},
        http::Response,
    };
    use serde_json::json;
    use std::{cell::RefCell, rc::Rc};

    /// What the action sent, and how it ended.
    fn run(action: &str, input: Value, status: u16, answer: &str) -> (Vec<Sent>, Result<Outcome>) {
        let Value::Object(fields) = input else { panic!("an input is an object") };
        let (sent, answer) = (Rc::new(RefCell::new(Vec::new())), answer.to_owned());
        let wire = Rc::clone(&sent);
        let vendor = move |request: &Sent| {
            wire.borrow_mut().push(request.clone());
            Response::new(status, &[], answer.clone())
        };
        let ended = with_vendor(vendor, || invoke(action, fields));
        (sent.take(), ended)
    }

    fn check(action: &str, input: Value, request: &str, body: &str) {
        let (sent, ended) = run(action, input, 200, "{}");
        ended.unwrap();
        let [sent] = sent.as_slice() else { panic!("one request, and not {}", sent.len()) };
        assert_eq!(
            format!("{} {}", sent.method, sent.url.replace("https://api.stripe.com/v1/", "")),
            request
        );
        assert_eq!(std::str::from_utf8(&sent.body).unwrap(), body);
        assert!(sent.headers.contains(&("Stripe-Version".to_owned(), b"2023-08-16".to_vec())));
        assert_eq!(sent.idempotency_key, None, "the host derives it");
    }

    #[test]
    fn inputs_become_stripes_forms() {
        let input =
            json!({ "email": "a+b@c.d", "metadata": { "crm": "4711" }, "preferred_locales": ["de", "en"] });
        let form = "email=a%2Bb%40c.d&metadata%5Bcrm%5D=4711&preferred_locales%5B0%5D=de&preferred_locales%5B1%5D=en";
        check("create-customer", input, "POST customers", form);
        check("update-customer", json!({ "customer": "cus_1", "name": "" }), "POST customers/cus_1", "name=");
        check("retrieve-customer", json!({ "customer": "cus_1" }), "GET customers/cus_1", "");
        let input =
            json!({ "amount": 1099, "currency": "eur", "automatic_payment_methods": { "enabled": true } });
        let form = "amount=1099&currency=eur&automatic_payment_methods%5Benabled%5D=true";
        check("create-payment-intent", input, "POST payment_intents", form);
        check("create-refund", json!({ "charge": "ch_1" }), "POST refunds", "charge=ch_1");
    }

    #[test]
    fn stripes_refusals_keep_their_words() {
        let answer =
            r#"{"error":{"type":"card_error","code":"card_declined","message":"Your card was declined."}}"#;
        let (_, ended) = run("create-payment-intent", json!({ "amount": 1, "currency": "eur" }), 402, answer);
        let error = ended.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().contains("Your card was declined."), "{}", error.message());
        let answer = r#"{"error":{"code":"resource_missing","message":"No such customer: 'cus_0'"}}"#;
        let (_, ended) = run("retrieve-customer", json!({ "customer": "cus_0" }), 404, answer);
        assert_eq!(ended.err().unwrap().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn customer_cannot_leave_its_segment() {
        let (sent, _) = run("retrieve-customer", json!({ "customer": "../refunds?x=1" }), 200, "{}");
        assert_eq!(sent[0].url, "https://api.stripe.com/v1/customers/..%2Frefunds%3Fx%3D1");
    }

    #[test]
    fn what_is_no_request_sends_none() {
        for (action, input, kind) in [
            ("delete-customer", json!({}), ErrorKind::Unsupported),
            ("update-customer", json!({}), ErrorKind::InvalidInput),
            ("retrieve-customer", json!({ "customer": "" }), ErrorKind::InvalidInput),
            ("retrieve-customer", json!({ "customer": 7 }), ErrorKind::InvalidInput),
        ] {
            let (sent, ended) = run(action, input, 200, "{}");
            assert_eq!(ended.err().unwrap().kind(), kind, "{action}");
            assert!(sent.is_empty(), "{action}");
        }
    }
}

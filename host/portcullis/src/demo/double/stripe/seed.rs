//! What the double holds from the beginning: objects of each kind with the fields that Stripe's own description requires.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Seconds between two seeded objects.
const STEP_S: i64 = 3_600;
/// Objects of each kind but customers.
const OTHERS: usize = 12;

const NAMES: [&str; 8] = ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Radia", "Donald", "Frances"];

/// Fills every collection, the youngest object an hour before `now`.
pub(super) fn fill(objects: &mut BTreeMap<&'static str, Vec<Value>>, customers: usize, now: i64) {
    let kinds = [
        ("customers", "customer", "cus", customers),
        ("invoices", "invoice", "in", OTHERS),
        ("charges", "charge", "ch", OTHERS),
        ("subscriptions", "subscription", "sub", OTHERS),
        ("payment_intents", "payment_intent", "pi", OTHERS),
        ("events", "event", "evt", OTHERS),
        ("refunds", "refund", "re", 0),
    ];
    for (collection, kind, prefix, count) in kinds {
        let made = (0..count).map(|index| {
            let back = i64::try_from(count - index).unwrap_or(i64::MAX).saturating_mul(STEP_S);
            let mut value = object(kind, &format!("{prefix}_{:04}", index + 1), now.saturating_sub(back));
            if kind == "customer" {
                let name = NAMES.get(index % NAMES.len()).copied().unwrap_or("Ada");
                value["name"] = json!(name);
                value["email"] = json!(format!("{}.{}@example.com", name.to_ascii_lowercase(), index + 1));
            }
            value
        });
        objects.insert(collection, made.collect());
    }
}

/// A new object of that kind.
pub(super) fn object(kind: &str, id: &str, created: i64) -> Value {
    let mut value = match kind {
        "customer" => json!({
            "email": null, "name": null, "description": null, "phone": null, "address": null, "shipping": null,
            "balance": 0, "currency": null, "delinquent": false, "metadata": {},
        }),
        "invoice" => invoice(created),
        "charge" => json!({
            "amount": 2_000, "amount_captured": 2_000, "amount_refunded": 0, "billing_details": {}, "captured": true,
            "currency": "eur", "customer": "cus_0001", "disputed": false, "metadata": {}, "paid": true, "refunded": false,
            "status": "succeeded",
        }),
        "subscription" => json!({
            "automatic_tax": {"enabled": false}, "billing_cycle_anchor": created, "cancel_at_period_end": false,
            "collection_method": "charge_automatically", "currency": "eur", "current_period_end": created,
            "current_period_start": created, "customer": "cus_0001", "metadata": {}, "start_date": created, "status": "active",
            "items": {"object": "list", "data": [], "has_more": false, "url": format!("/v1/subscription_items?subscription={id}")},
        }),
        "payment_intent" => json!({
            "amount": 2_000, "capture_method": "automatic", "confirmation_method": "automatic", "currency": "eur",
            "customer": null, "description": null, "metadata": {}, "payment_method_types": ["card"],
            "status": "requires_payment_method",
        }),
        "event" => json!({
            "api_version": "2022-11-15", "data": {"object": {"id": "cus_0001", "object": "customer"}}, "pending_webhooks": 0,
            "request": null, "type": "customer.created",
        }),
        _ => {
            json!({"amount": 2_000, "currency": "eur", "charge": null, "payment_intent": null, "metadata": {}, "status": "succeeded"})
        }
    };
    value["id"] = json!(id);
    value["object"] = json!(kind);
    value["created"] = json!(created);
    value["livemode"] = json!(false);
    value
}

fn invoice(created: i64) -> Value {
    json!({
        "amount_due": 2_000, "amount_paid": 2_000, "amount_remaining": 0, "amount_shipping": 0, "attempt_count": 1,
        "attempted": true, "automatic_tax": {"enabled": false, "status": null}, "collection_method": "charge_automatically",
        "currency": "eur", "customer": "cus_0001", "default_tax_rates": [], "metadata": {}, "number": null,
        "lines": {"object": "list", "data": [], "has_more": false, "url": "/v1/invoices/lines"}, "paid": true,
        "paid_out_of_band": false, "payment_settings": {}, "period_end": created, "period_start": created,
        "post_payment_credit_notes_amount": 0, "pre_payment_credit_notes_amount": 0, "starting_balance": 0, "status": "paid",
        "status_transitions": {}, "subtotal": 2_000, "total": 2_000, "total_tax_amounts": [],
    })
}

//! Each secret that the config names: there, readable, of a mode that keeps others out, fit for its place; and what nobody uses.
use super::{Findings, Severity};
use crate::{config::Config, exit::Failure};
use portcullis_secrets::{Credential, Providers};

pub async fn look(config: &Config, findings: &mut Findings) {
    for (name, credential) in &config.credentials {
        let about = format!("credentials.{name}");
        let used = config.connections.values().any(|one| one.credentials.values().any(|bound| bound == name));
        if !used {
            let place = config.fault_key(&["credentials", name], "no connection binds it", None);
            let remedy = format!("bind it, `credentials = {{ SLOT = \"{name}\" }}`, or remove it");
            findings.warning(&about, place.to_string(), remedy);
        }
        // It is fetched and rendered as for a request, and dropped.
        match credential.attachment(&config.providers).await {
            Ok(_) => findings.ok(about, references(credential)),
            Err(error) => {
                let remedy = error.remedy().unwrap_or_else(|| remedy(credential));
                let what = Failure::fault("it can't be used").because(&error).to_string();
                // What nobody uses stops nobody.
                let severity = if used { Severity::Error } else { Severity::Warning };
                findings.add(severity, about, what, remedy);
            }
        }
    }
    let delivered = config.webhooks.values();
    let delivered = delivered.flat_map(|webhook| webhook.secrets.iter().chain(&webhook.verify_token));
    let private = config.serve.certificate.iter().map(|certificate| &certificate.private_key);
    let credentials = config.credentials.values().flat_map(Credential::references);
    let references: Vec<_> =
        credentials.chain(delivered).chain(private).map(|used| used.provider.as_str()).collect();
    for name in config.providers.names().filter(|name| !Providers::BUILT_IN.contains(name)) {
        if !references.contains(&name) {
            let place = config.fault_key(&["secrets", name], "nothing refers to it", None);
            findings.warning(format!("secrets.{name}"), place.to_string(), "remove it");
        }
    }
}

fn references(credential: &Credential) -> String {
    let shown: Vec<_> = credential.references().iter().map(|one| format!("`{one}`")).collect();
    if shown.is_empty() {
        "it needs no secret".to_owned()
    } else {
        format!("{} can be read", shown.join(" and "))
    }
}

fn remedy(credential: &Credential) -> String {
    match credential.references().first() {
        Some(one) if one.provider == "env" => {
            format!("set the variable where portcullis runs: `{}` is asked in this environment", one)
        }
        _ => "put the secret where its reference points, or change the reference".to_owned(),
    }
}

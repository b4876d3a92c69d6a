//! Each route of `serve`, as that would hold it: its secrets there and fit for how its vendor signs; and the certificate.
use super::Findings;
use crate::{
    approvals,
    config::{Config, Webhook},
    wiring::routes,
};
use portcullis_ingress::Check;

const MEND: &str = "put the secret where its reference points, or change the reference";

pub async fn look(config: &Config, findings: &mut Findings) {
    let lock = approvals::read_lock(config).unwrap_or_default();
    for webhook in config.webhooks.values() {
        let about = format!("webhooks.{}", webhook.name);
        let Webhook { connection, .. } = webhook;
        // What is the matter with the connection is told there.
        let approved = lock.approvals.get(connection).and_then(|approval| {
            let (package, _) = approvals::find_approved(config, approval).ok()?;
            Some(package.component.manifest)
        });
        let Some(manifest) = approved else {
            let remedy = format!("portcullis approve {connection}");
            findings.warning(
                about,
                format!("`{connection}` can't run: its vendor is told to come again"),
                remedy,
            );
            continue;
        };
        match routes::judged(config, webhook, manifest.webhook).await {
            Ok((Check::Unsigned, _)) => {
                let remedy = "give it a `secret`, where its vendor can sign";
                findings.warning(about, "anybody who knows its path may deliver", remedy);
            }
            Ok(_) => findings
                .ok(about, format!("deliveries to `{}` are verified for `{connection}`", webhook.path)),
            Err(not) => findings.error(about, format!("it would take nothing: {}", not.why), MEND),
        }
    }
    match routes::certificate(config).await {
        Ok(None) => {}
        Ok(Some(_)) => findings.ok("serve", "the certificate and its private key can be read"),
        Err(failure) => findings.failure("serve", &failure, MEND),
    }
}

//! `scrip serve`'s door: from the options to what judges connections and calls, and what is said of it.

use super::failure::Failure;
use crate::clock::System;
use crate::config::SecurityPlan;
use crate::ledger::Micros;
use crate::meter::Meters;
use crate::pb;
use crate::server::Security;
use crate::server::auth::{Demand, Guard, Tokens, check_methods};
use crate::server::tls::{Expiry, Tls};
use crate::store::Store;

/// Who may connect and call, and what is said of that.
pub(super) struct Door {
    pub(super) security: Security,
    /// For people, a line each.
    pub(super) said: Vec<String>,
    /// What grpcurl needs to get through.
    pub(super) grpcurl: String,
}

/// Reads the tokens and certificates. Refuses to serve methods that nobody gave a role.
pub(super) async fn open(plan: SecurityPlan, store: &dyn Store, meters: &Meters) -> Result<Door, Failure> {
    check_methods(&[pb::DESCRIPTOR_SET]).map_err(|error| Failure::could_not_run(error.to_string()))?;
    let tokens = match store.tokens() {
        Some(store) => Some(Tokens::watch(store, System::clock()).await?),
        None => None,
    };
    let is_encrypted = plan.tls.is_some();
    let tls = match plan.tls {
        Some(files) => {
            let tls = Tls::watch(files, System::clock()).await;
            let tls = tls.map_err(|refused| Failure::could_not_run(refused.to_string()))?;
            let expiry = tls.expiry();
            meters.connections().watch_certificates(move || seconds(*expiry.borrow()));
            Some(tls)
        }
        None => None,
    };
    let is_demanded = plan.demand == Demand::Always || tokens.as_ref().is_some_and(Tokens::any);
    let knows_any = tokens.as_ref().is_some_and(Tokens::any) || !plan.certificates.is_empty();
    let said = said(is_demanded, knows_any, plan.is_exposed);
    if plan.is_exposed {
        tracing::warn!("--insecure: what is said to this server can be read and changed on the way");
        if !is_demanded {
            tracing::warn!("--insecure: whoever reaches this server may do anything until there is a token");
        }
    }
    let mut grpcurl = if is_encrypted { "-cacert ca.pem" } else { "-plaintext" }.to_owned();
    if is_demanded {
        // Expanded by grpcurl itself, so that the token is not among its arguments.
        grpcurl.push_str(" -expand-headers -H 'authorization: Bearer ${SCRIP_TOKEN}'");
    }
    let guard = Guard::new(plan.demand, tokens, plan.certificates);
    Ok(Door { security: Security { guard, tls }, said, grpcurl })
}

/// As the metric has it.
fn seconds(expiry: Expiry) -> Vec<(&'static str, f64)> {
    let of = |Micros(micros)| micros as f64 / 1_000_000.0;
    let client_ca = expiry.client_ca.map(|end| ("client_ca", of(end)));
    [("server", of(expiry.server))].into_iter().chain(client_ca).collect()
}

fn said(is_demanded: bool, knows_any: bool, is_exposed: bool) -> Vec<String> {
    let authentication = match (is_demanded, knows_any) {
        (true, true) => "authentication: on",
        (true, false) => "authentication: on, and nobody is known yet: `scrip tokens create` makes a token",
        (false, _) => "authentication: off until the first token is made (`scrip tokens create`)",
    };
    let mut said = vec![authentication.to_owned()];
    if is_exposed {
        said.push("encryption: none, and other machines can reach this one (--insecure)".to_owned());
    }
    said
}

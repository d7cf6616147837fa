//! Accounts: what operators send becomes the pool's commands, with their secrets parsed and wiped on the way; what the
//! pool answers becomes messages, without any.

use super::time::timestamp;
use super::{command, enums, time};
use crate::engine::bounds::{
    DEFAULT_CONCURRENCY, DEFAULT_WEIGHT, apps, concurrency, name, priority, remark, weight, workspace,
};
use crate::engine::rows::AccountRecord;
use crate::keypool::workspace::health;
use crate::keypool::{
    Account, AccountChanges, AccountId, AccountStatus, Described, Health, NewAccount, NewKey, Purpose,
    Workspace,
};
use crate::ledger::limits::{Checks, LINE_CHARS};
use crate::ledger::{Rejection, Report, Text};
use crate::pb;
use crate::vault::FalKey;

/// Seals a key that was given.
pub(in crate::api) type Seal<'a> = &'a dyn Fn(FalKey, Purpose) -> Result<NewKey, Rejection>;

/// The account to be added.
pub(in crate::api) fn new_account(
    request: pb::CreateAccountRequest,
    checks: &mut Checks<'_>,
    seal: Seal<'_>,
) -> Result<NewAccount, Rejection> {
    let key = fal_key("api_key", request.api_key, checks);
    let billing = (!request.billing_api_key.is_empty())
        .then(|| fal_key("billing_api_key", request.billing_api_key, checks))
        .flatten();
    let mut new = NewAccount {
        name: name(request.name, checks),
        key: NewKey { key_id: Text::default(), sealed: nothing() },
        billing_key: None,
        workspace: workspace(request.workspace, checks),
        max_concurrency: concurrency(request.max_concurrency.unwrap_or(DEFAULT_CONCURRENCY), checks),
        priority: priority(request.priority, checks),
        weight: weight(request.weight.unwrap_or(DEFAULT_WEIGHT), checks),
        allowed_apps: apps(request.allowed_apps, checks),
        remark: remark(request.remark, checks),
        balance_nano_usd: request.balance_nano_usd,
    };
    checks.take()?;
    // What is wrong was said above; whatever else is missing now was refused there.
    new.key = seal(key.ok_or_else(|| missing("api_key"))?, Purpose::Lease)?;
    new.billing_key = billing.map(|key| seal(key, Purpose::Billing)).transpose()?;
    Ok(new)
}

/// What is changed of an account: the fields that the mask names.
pub(in crate::api) fn changes(
    request: pb::UpdateAccountRequest,
    checks: &mut Checks<'_>,
    seal: Seal<'_>,
) -> Result<(AccountId, AccountChanges), Rejection> {
    let account = request.account.unwrap_or_default();
    let account_id = account.account_id;
    if account_id < 1 {
        checks.violation("account.account_id", "must be 1 or more");
    }
    let mask = request.update_mask.unwrap_or_default().paths;
    if mask.is_empty() {
        checks.violation("update_mask", "must name the fields to change");
    }
    let (mut api_key, mut billing_api_key) = (request.api_key, request.billing_api_key);
    let (mut key, mut billing) = (None, None);
    let mut changes = AccountChanges::default();
    for path in &mask {
        match path.as_str() {
            "name" => changes.name = Some(name(account.name.clone(), checks)),
            "workspace" => changes.workspace = Some(workspace(account.workspace.clone(), checks)),
            "status" => changes.status = status(account.status, checks),
            "max_concurrency" => changes.max_concurrency = Some(concurrency(account.max_concurrency, checks)),
            "priority" => changes.priority = Some(priority(account.priority, checks)),
            "weight" => changes.weight = Some(weight(account.weight, checks)),
            "allowed_apps" => changes.allowed_apps = Some(apps(account.allowed_apps.clone(), checks)),
            "remark" => changes.remark = Some(remark(account.remark.clone(), checks)),
            "balance_nano_usd" => changes.balance_nano_usd = Some(account.balance_nano_usd),
            "api_key" => key = fal_key("api_key", std::mem::take(&mut api_key), checks),
            "billing_api_key" if billing_api_key.is_empty() => changes.billing_key = Some(None),
            "billing_api_key" => {
                billing = fal_key("billing_api_key", std::mem::take(&mut billing_api_key), checks);
            }
            other => {
                let known = "name, workspace, status, max_concurrency, priority, weight, allowed_apps, remark, \
                             balance_nano_usd, api_key, billing_api_key";
                // A path that is none of these may be anything, a misplaced secret too: it is not repeated.
                checks.violation(
                    "update_mask",
                    format!("a path of {} characters is unknown; may name {known}", other.chars().count()),
                );
            }
        }
    }
    for (field, left) in [("api_key", &api_key), ("billing_api_key", &billing_api_key)] {
        if !left.is_empty() {
            checks.violation("update_mask", format!("must name {field}, which is given"));
        }
    }
    checks.line("reason", &request.reason, LINE_CHARS);
    checks.take()?;
    changes.key = key.map(|key| seal(key, Purpose::Lease)).transpose()?;
    if let Some(key) = billing {
        changes.billing_key = Some(Some(seal(key, Purpose::Billing)?));
    }
    Ok((account_id, changes))
}

/// What a runner reports of its lease.
pub(in crate::api) fn report(request: &mut pb::ReleaseKeyRequest, checks: &mut Checks<'_>) -> Report {
    Report {
        outcome: enums::read::<pb::LeaseOutcome>("outcome", request.outcome, checks),
        http_status: command::http_status(request.http_status, checks),
        error_message: command::message(std::mem::take(&mut request.error_message)),
        retry_after_micros: time::micros("retry_after", request.retry_after.take(), checks),
        latency_micros: time::micros("latency", request.latency.take(), checks),
    }
}

/// How long a lease shall live.
pub(in crate::api) fn ttl(given: Option<prost_types::Duration>, checks: &mut Checks<'_>) -> Option<i64> {
    time::micros("ttl", given, checks)
}

/// A parsed key; what was given is wiped, and said to be wrong without being repeated.
fn fal_key(field: &'static str, text: String, checks: &mut Checks<'_>) -> Option<FalKey> {
    match FalKey::new(text) {
        Ok(key) => Some(key),
        Err(why) => {
            checks.violation(field, format!("must be a whole fal key, key_id:key_secret: {why}"));
            None
        }
    }
}

fn missing(field: &'static str) -> Rejection {
    Rejection::field(field, "must be given")
}

fn nothing() -> crate::keypool::Sealed {
    crate::keypool::Sealed { kek_id: Text::default(), bytes: [].into() }
}

fn status(number: i32, checks: &mut Checks<'_>) -> Option<AccountStatus> {
    let status = match pb::AccountStatus::try_from(number) {
        Ok(pb::AccountStatus::Enabled) => Some(AccountStatus::Enabled),
        Ok(pb::AccountStatus::Disabled) => Some(AccountStatus::Disabled),
        Ok(pb::AccountStatus::Draining) => Some(AccountStatus::Draining),
        Ok(pb::AccountStatus::Unspecified) | Err(_) => None,
    };
    if status.is_none() {
        checks.violation("account.status", "must be ENABLED, DISABLED or DRAINING");
    }
    status
}

impl From<AccountRecord> for pb::Account {
    fn from(record: AccountRecord) -> Self {
        account(&record.account, &record.workspace, record.in_flight)
    }
}

impl From<Described> for pb::Account {
    fn from(described: Described) -> Self {
        account(&described.account, &described.workspace, described.in_flight)
    }
}

fn account(account: &Account, workspace: &Workspace, in_flight: u32) -> pb::Account {
    let (health, until) = health(account, workspace);
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    pb::Account {
        account_id: account.account_id,
        name: account.name.to_string(),
        workspace: account.workspace.to_string(),
        key_id: account.key_id.to_string(),
        status: match account.status {
            AccountStatus::Enabled => pb::AccountStatus::Enabled,
            AccountStatus::Draining => pb::AccountStatus::Draining,
            AccountStatus::Disabled | AccountStatus::Deleted => pb::AccountStatus::Disabled,
        }
        .into(),
        max_concurrency: number(account.max_concurrency),
        priority: account.priority,
        weight: number(account.weight),
        allowed_apps: account.allowed_apps.apps().iter().map(ToString::to_string).collect(),
        remark: account.remark.to_string(),
        balance_nano_usd: workspace.balance_nano_usd,
        use_cnt: account.use_cnt,
        error_cnt: account.error_cnt,
        in_flight: number(in_flight),
        health: of_health(health).into(),
        cooldown_until_time: until.map(timestamp),
        has_billing_api_key: account.billing_key_id.is_some(),
        create_time: Some(timestamp(account.create_time)),
        update_time: Some(timestamp(account.update_time)),
    }
}

/// An account's health for the wire.
pub(in crate::api) const fn of_health(health: Health) -> pb::AccountHealth {
    match health {
        Health::Healthy => pb::AccountHealth::Healthy,
        Health::Probing => pb::AccountHealth::Probing,
        Health::CoolingDown => pb::AccountHealth::CoolingDown,
        Health::Locked => pb::AccountHealth::Locked,
        Health::AuthFailed => pb::AccountHealth::AuthFailed,
    }
}

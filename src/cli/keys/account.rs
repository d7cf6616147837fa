//! An account as an operator sees it: a line of the list, all of its fields, or a JSON object under the API's names.

use serde::Serialize;

use super::super::failure::Failure;
use super::super::output::{Out, moment, moment_short, plain};
use super::usd;
use crate::config::Format;
use crate::keypool::workspace::health;
use crate::keypool::{Account, Described, Health, Settings, Workspace};
use crate::ledger::Micros;
use crate::store::AccountRecord;

const SECOND: i64 = 1_000_000;

/// An account at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    account: &'a Account,
    workspace: &'a Workspace,
    in_flight: u32,
    now: Micros,
}

/// An account under the names of the API.
#[derive(Debug, Serialize)]
pub(super) struct AccountRow<'a> {
    account_id: i64,
    name: &'a str,
    workspace: &'a str,
    key_id: &'a str,
    status: &'static str,
    max_concurrency: u32,
    priority: i32,
    weight: u32,
    allowed_apps: Vec<&'a str>,
    remark: &'a str,
    balance_nano_usd: Option<i64>,
    use_cnt: i64,
    error_cnt: i64,
    error_permille: u32,
    in_flight: u32,
    health: &'static str,
    cooldown_until_time: Option<String>,
    has_billing_api_key: bool,
    create_time: String,
    update_time: String,
}

impl<'a> Shown<'a> {
    pub(super) fn record(record: &'a AccountRecord, now: Micros) -> Self {
        let AccountRecord { account, workspace, in_flight } = record;
        Self { account, workspace, in_flight: *in_flight, now }
    }

    pub(super) fn described(described: &'a Described, now: Micros) -> Self {
        let Described { account, workspace, in_flight, .. } = described;
        Self { account, workspace, in_flight: *in_flight, now }
    }

    /// How it is called in a sentence.
    pub(super) fn title(&self) -> String {
        plain(&format!("account {} ({})", self.account.account_id, self.account.name))
    }

    /// Its line of the list, in the order of [`super::list::COLUMNS`].
    pub(super) fn cells(&self) -> Vec<String> {
        let Self { account, workspace, .. } = self;
        let shared = if account.workspace == account.key_id { "-" } else { &*account.workspace };
        vec![
            account.account_id.to_string(),
            account.name.to_string(),
            account.key_id.to_string(),
            shared.to_owned(),
            account.status.to_string(),
            self.health().to_string(),
            self.slots(),
            self.cooldown(),
            workspace.balance_nano_usd.map_or_else(|| "-".to_owned(), usd::show),
            self.errors(),
            account.use_cnt.to_string(),
        ]
    }

    /// Shows all of it.
    pub(super) fn print(&self, out: &mut Out, format: Format) -> Result<(), Failure> {
        if format == Format::Json {
            return Ok(out.json(&self.row())?);
        }
        let fields = self.fields();
        let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in fields {
            let name = out.paint().dim(&format!("{name:width$}"));
            out.line(format!("{name}  {}", plain(&value)).trim_end())?;
        }
        Ok(())
    }

    pub(super) fn row(&self) -> AccountRow<'a> {
        let Self { account, workspace, in_flight, .. } = *self;
        let (health, until) = health(account, workspace);
        AccountRow {
            account_id: account.account_id,
            name: &account.name,
            workspace: &account.workspace,
            key_id: &account.key_id,
            status: account.status.as_str(),
            max_concurrency: account.max_concurrency,
            priority: account.priority,
            weight: account.weight,
            allowed_apps: account.allowed_apps.apps().iter().map(|app| &**app).collect(),
            remark: &account.remark,
            balance_nano_usd: workspace.balance_nano_usd,
            use_cnt: account.use_cnt,
            error_cnt: account.error_cnt,
            error_permille: self.error_permille(),
            in_flight,
            health: health.as_str(),
            cooldown_until_time: until.map(moment),
            has_billing_api_key: account.billing_key_id.is_some(),
            create_time: moment(account.create_time),
            update_time: moment(account.update_time),
        }
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let Self { account, workspace, .. } = self;
        let apps: Vec<&str> = account.allowed_apps.apps().iter().map(|app| &**app).collect();
        let usd = |nano_usd| format!("{} USD", usd::show(nano_usd));
        vec![
            ("account", account.account_id.to_string()),
            ("name", account.name.to_string()),
            ("key", account.key_id.to_string()),
            (
                "billing key",
                account.billing_key_id.as_deref().unwrap_or("none: its key serves for both").to_owned(),
            ),
            ("workspace", account.workspace.to_string()),
            ("status", account.status.to_string()),
            ("health", self.health().to_string()),
            ("cooldown", self.cooldown()),
            ("in flight", self.slots()),
            ("balance", workspace.balance_nano_usd.map_or_else(|| "unknown".to_owned(), usd)),
            ("recent errors", self.errors()),
            ("uses", account.use_cnt.to_string()),
            ("errors", account.error_cnt.to_string()),
            ("priority", account.priority.to_string()),
            ("weight", account.weight.to_string()),
            ("models", if apps.is_empty() { "all".to_owned() } else { apps.join(" ") }),
            ("remark", account.remark.to_string()),
            ("created", moment_short(account.create_time)),
            ("changed", moment_short(account.update_time)),
        ]
    }

    fn health(&self) -> Health {
        health(self.account, self.workspace).0
    }

    fn slots(&self) -> String {
        format!("{}/{}", self.in_flight, self.account.max_concurrency)
    }

    fn cooldown(&self) -> String {
        let (_, until) = health(self.account, self.workspace);
        until.map_or_else(|| "-".to_owned(), |until| time_left(until.0.saturating_sub(self.now.0)))
    }

    fn errors(&self) -> String {
        let permille = self.error_permille();
        format!("{}.{}%", permille / 10, permille % 10)
    }

    /// The share of failures lately, as much of it as still counts.
    fn error_permille(&self) -> u32 {
        self.workspace.vitals.errors_now(self.now, &Settings::default())
    }
}

/// A time for people, rounded up to its second. `due`: it has passed, and the next lease is the probe.
fn time_left(micros: i64) -> String {
    if micros <= 0 {
        return "due".to_owned();
    }
    let seconds = micros.saturating_add(SECOND - 1) / SECOND;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h {minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keypool::{AccountStatus, AllowList, Cause, Circuit, Out as Outage, Vitals};

    const NOW: Micros = Micros(1_000 * SECOND);

    fn record() -> AccountRecord {
        let account = Account {
            account_id: 7,
            name: "主账号".into(),
            workspace: "key-7".into(),
            key_id: "key-7".into(),
            billing_key_id: None,
            status: AccountStatus::Enabled,
            max_concurrency: 10,
            priority: 0,
            weight: 100,
            allowed_apps: AllowList::default(),
            remark: "".into(),
            use_cnt: 42,
            error_cnt: 1,
            create_time: Micros(0),
            update_time: Micros(0),
            key: Circuit::default(),
        };
        AccountRecord { account, workspace: Workspace::new("key-7".into()), in_flight: 3 }
    }

    #[test]
    fn a_healthy_account_that_nothing_is_known_of() {
        let record = record();
        let cells = Shown::record(&record, NOW).cells();
        let expected = ["7", "主账号", "key-7", "-", "enabled", "healthy", "3/10", "-", "-", "0.0%", "42"];
        assert_eq!(cells, expected);
    }

    #[test]
    fn an_account_that_is_out_shows_why_for_how_long_and_what_it_shares() {
        let mut record = record();
        record.account.workspace = "team".into();
        let out = Outage {
            cause: Cause::AccountLocked,
            since: Micros(0),
            until: NOW.plus(90 * SECOND),
            probe: None,
        };
        record.workspace = Workspace {
            workspace: "team".into(),
            balance_nano_usd: Some(-250_000_000),
            circuit: Circuit { out: Some(out), ..Circuit::default() },
            vitals: Vitals { error_permille: 250, report_time: NOW, ..Vitals::default() },
        };
        let cells = Shown::record(&record, NOW).cells();
        assert_eq!(cells[3..10], ["team", "enabled", "locked", "3/10", "1m 30s", "-0.25", "25.0%"]);
        let later = NOW.plus(91 * SECOND);
        let cells = Shown::record(&record, later).cells();
        assert_eq!((cells[7].as_str(), cells[5].as_str()), ("due", "locked"));
        let rate: u32 = Shown::record(&record, later).error_permille();
        assert!(rate < 250, "it fades: {rate}");
    }

    #[test]
    fn a_row_has_the_names_of_the_api() {
        let record = record();
        let row = serde_json::to_value(Shown::record(&record, NOW).row()).unwrap();
        assert_eq!(
            (&row["account_id"], &row["in_flight"], &row["health"]),
            (&7.into(), &3.into(), &"healthy".into())
        );
        assert!(row["cooldown_until_time"].is_null() && row["balance_nano_usd"].is_null());
    }

    #[test]
    fn times_are_short_and_never_less_than_they_are() {
        for (micros, text) in [
            (-SECOND, "due"),
            (0, "due"),
            (1, "1s"),
            (59 * SECOND, "59s"),
            (59 * SECOND + 1, "1m"),
            (61 * SECOND, "1m 1s"),
            (3_600 * SECOND, "1h"),
            (3_700 * SECOND, "1h 1m"),
            (i64::MAX, "2562047788h"),
        ] {
            assert_eq!(time_left(micros), text, "{micros}");
        }
    }
}

//! What only the database knows. A sampler reads it now and then; whoever reads the instruments gets what was last
//! found, and how old that is, and never touches the database.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use tokio::time::Instant;

use super::label;

/// Accounts and workspaces that have figures of their own; where there are more, those with the lowest numbers have.
pub const MOST_ACCOUNTS: usize = 200;

/// What a sample found.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "each is the instrument of that name, below")]
pub struct Figures {
    pub database_bytes: u64,
    pub holds_open: u64,
    pub holds_points: u64,
    pub holds_overdue: u64,
    pub leases_open: u64,
    pub leases_overdue: u64,
    /// How many accounts there are in each state: status, health, how many.
    pub accounts_by_state: Vec<(&'static str, &'static str, u64)>,
    pub accounts: Vec<AccountFigure>,
    pub workspaces: Vec<WorkspaceFigure>,
    /// The newest run that is over; `None` where there was none.
    pub run: Option<RunFigure>,
    /// Runs that are not over.
    pub runs_waiting: u64,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountFigure {
    /// Its number.
    pub account_id: i64,
    /// Its name.
    pub name: String,
    /// Its health, in the word of the key pool.
    pub health: &'static str,
    /// Leases ever given.
    pub leases: u64,
    /// Errors ever blamed on it.
    pub errors: u64,
}

/// A workspace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkspaceFigure {
    /// Its name.
    pub workspace: String,
    /// Leases that are open.
    pub leases: u64,
    /// At most so many.
    pub slots: u64,
    /// The credit at fal as last heard, in USD.
    pub balance_usd: Option<f64>,
}

/// A run of reconciliation that is over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFigure {
    /// How it ended: `completed`, `partial` or `failed`.
    pub state: &'static str,
    /// Seconds since it ended.
    pub age_seconds: f64,
    /// Seconds from the end of the newest judged period to now.
    pub period_age_seconds: f64,
    /// Findings: high, medium, low.
    pub findings: [u64; 3],
}

/// The words of health, all of them: what an account is not in is 0.
const HEALTH: [&str; 5] = ["healthy", "probing", "cooling_down", "locked", "auth_failed"];

type Cell = Arc<Mutex<Option<(Instant, Figures)>>>;
type Observed = Vec<(f64, Vec<KeyValue>)>;

/// The newest sample, and the instruments that show it.
pub(super) struct Sampled {
    cell: Cell,
}

impl Sampled {
    pub(super) fn new(meter: &Meter) -> Self {
        let cell: Cell = Arc::default();
        let sampled = Self { cell };
        sampled.watch_age(meter);
        sampled.watch_ledger(meter);
        sampled.watch_pool(meter);
        sampled.watch_runs(meter);
        sampled
    }

    pub(super) fn put(&self, figures: Figures) {
        *self.cell.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), figures));
    }

    fn gauge(
        &self,
        meter: &Meter,
        (name, unit): (&'static str, &'static str),
        meaning: &'static str,
        of: fn(&Figures) -> Observed,
    ) {
        let cell = Arc::clone(&self.cell);
        let gauge = meter.f64_observable_gauge(name).with_unit(unit).with_description(meaning);
        let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<f64>| {
            if let Some((_, figures)) = &*cell.lock().unwrap_or_else(PoisonError::into_inner) {
                of(figures).iter().for_each(|(value, labels)| observer.observe(*value, labels));
            }
        };
        gauge.with_callback(observe).build();
    }

    fn counter(
        &self,
        meter: &Meter,
        name: &'static str,
        meaning: &'static str,
        of: fn(&AccountFigure) -> u64,
    ) {
        let cell = Arc::clone(&self.cell);
        let counter = meter.u64_observable_counter(name).with_description(meaning);
        let observe = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            if let Some((_, figures)) = &*cell.lock().unwrap_or_else(PoisonError::into_inner) {
                for account in &figures.accounts {
                    observer.observe(of(account), &account_labels(account));
                }
            }
        };
        counter.with_callback(observe).build();
    }

    fn watch_age(&self, meter: &Meter) {
        let cell = Arc::clone(&self.cell);
        // A sampler that never gets through is known by an age that grows from the start.
        let began = Instant::now();
        meter
            .f64_observable_gauge("scrip.sample.age")
            .with_unit("s")
            .with_description(
                "How old the figures are that only the database knows: holds, accounts, runs, size; until there are any, the server",
            )
            .with_callback(move |observer| {
                let newest = cell.lock().unwrap_or_else(PoisonError::into_inner);
                let taken = newest.as_ref().map_or(began, |(taken, _)| *taken);
                observer.observe(taken.elapsed().as_secs_f64(), &[]);
            })
            .build();
    }

    fn watch_ledger(&self, meter: &Meter) {
        self.gauge(meter, ("scrip.database.size", "By"), "Bytes of the database", |all| {
            one(all.database_bytes)
        });
        self.gauge(meter, ("scrip.holds.open", ""), "Holds that are open", |all| one(all.holds_open));
        self.gauge(
            meter,
            ("scrip.holds.points", ""),
            "Points that open holds set aside, of both purses",
            |all| one(all.holds_points),
        );
        self.gauge(
            meter,
            ("scrip.holds.overdue", ""),
            "Open holds whose time has passed, without a live lease: the sweep releases them",
            |all| one(all.holds_overdue),
        );
        self.gauge(meter, ("scrip.leases.open", ""), "Leases of fal keys that are in flight", |all| {
            one(all.leases_open)
        });
        self.gauge(
            meter,
            ("scrip.leases.overdue", ""),
            "Open leases whose time has passed: the sweep closes them",
            |all| one(all.leases_overdue),
        );
    }

    fn watch_pool(&self, meter: &Meter) {
        self.gauge(meter, ("scrip.accounts", ""), "fal accounts, by status and health", |all| {
            let state = |(status, health, count): &(&'static str, &'static str, u64)| {
                (float(*count), vec![label("status", *status), label("health", *health)])
            };
            all.accounts_by_state.iter().map(state).collect()
        });
        self.gauge(
            meter,
            ("scrip.account.health", ""),
            "Whether an account in rotation is in this health: 1 or 0",
            |all| {
                let states = all.accounts.iter().flat_map(|account| {
                    HEALTH.map(|health| {
                        let mut labels = account_labels(account);
                        labels.push(label("health", health));
                        (f64::from(u8::from(account.health == health)), labels)
                    })
                });
                states.collect()
            },
        );
        self.gauge(meter, ("scrip.workspace.leases", ""), "Open leases of a workspace", |all| {
            all.workspaces.iter().map(|one| (float(one.leases), workspace_labels(one))).collect()
        });
        self.gauge(meter, ("scrip.workspace.slots", ""), "Leases that a workspace may have at once", |all| {
            all.workspaces.iter().map(|one| (float(one.slots), workspace_labels(one))).collect()
        });
        self.gauge(
            meter,
            ("scrip.workspace.balance_usd", ""),
            "Credit of a workspace at fal, in USD, as last heard",
            |all| {
                let heard = |one: &WorkspaceFigure| Some((one.balance_usd?, workspace_labels(one)));
                all.workspaces.iter().filter_map(heard).collect()
            },
        );
        self.counter(meter, "scrip.account.leases", "Leases ever given of an account", |account| {
            account.leases
        });
        self.counter(meter, "scrip.account.errors", "Errors ever blamed on an account", |account| {
            account.errors
        });
    }

    fn watch_runs(&self, meter: &Meter) {
        self.gauge(
            meter,
            ("scrip.reconciliation.age", "s"),
            "How long ago the newest run of reconciliation ended, however it ended",
            |all| all.run.iter().map(|run| (run.age_seconds, Vec::new())).collect(),
        );
        self.gauge(
            meter,
            ("scrip.reconciliation.period_age", "s"),
            "How long ago the newest period ended that a run has judged",
            |all| all.run.iter().map(|run| (run.period_age_seconds, Vec::new())).collect(),
        );
        self.gauge(
            meter,
            ("scrip.reconciliation.findings", ""),
            "Findings of the newest run that is over, by severity",
            |all| {
                let each = |run: &RunFigure| {
                    let named = ["high", "medium", "low"].into_iter().zip(run.findings);
                    named
                        .map(|(severity, count)| (float(count), vec![label("severity", severity)]))
                        .collect::<Vec<_>>()
                };
                all.run.iter().flat_map(each).collect()
            },
        );
        self.gauge(
            meter,
            ("scrip.reconciliation.outcome", ""),
            "How the newest run that is over ended (completed, partial, failed): 1 or 0",
            |all| {
                let each = |run: &RunFigure| {
                    ["completed", "partial", "failed"]
                        .map(|state| (f64::from(u8::from(run.state == state)), vec![label("state", state)]))
                };
                all.run.iter().flat_map(each).collect()
            },
        );
        self.gauge(
            meter,
            ("scrip.reconciliation.waiting", ""),
            "Runs of reconciliation that are not over",
            |all| one(all.runs_waiting),
        );
    }
}

fn one(value: u64) -> Observed {
    vec![(float(value), Vec::new())]
}

/// Counts and bytes are far below 2⁵³, up to which it is exact.
fn float(value: u64) -> f64 {
    value as f64
}

fn account_labels(account: &AccountFigure) -> Vec<KeyValue> {
    vec![label("account", account.account_id), label("name", account.name.clone())]
}

fn workspace_labels(workspace: &WorkspaceFigure) -> Vec<KeyValue> {
    vec![label("workspace", workspace.workspace.clone())]
}

//! Keys, as far as the ledger must speak of them: what a command asks of the key pool and reports to it.
//!
//! A lease is written in the commit of the charge, the start or the end it belongs to, so the ledger calls the pool
//! while it decides. It knows the pool by this trait alone; `keypool` implements it.

use super::text_enum::text_enum;
use super::{Rejection, Text, UserId};

text_enum! {
    /// How the use of a key ended, after classification.
    LeaseOutcome {
        /// The job succeeded.
        Succeeded = "succeeded",
        /// HTTP 429.
        RateLimited = "rate_limited",
        /// HTTP 403, the user is locked.
        AccountLocked = "account_locked",
        /// HTTP 401, the key is refused.
        AuthFailed = "auth_failed",
        /// HTTP 5xx, or a timeout.
        UpstreamError = "upstream_error",
        /// Any other HTTP 4xx: the input was wrong.
        CallerError = "caller_error",
        /// The runner gave up, or another runner took the task over.
        RunnerCanceled = "runner_canceled",
        /// Nobody reported before its time passed.
        Expired = "expired",
    }
}

text_enum! {
    /// Why there is no key: `why` of NO_KEY_AVAILABLE.
    Why {
        /// No account is in rotation.
        NoneEnabled = "none_enabled",
        /// None of those in rotation may run this model.
        NoneAllowed = "none_allowed",
        /// All that may run it are out for a while.
        CoolingDown = "cooling_down",
        /// One at least is well, but has no free slot.
        AllBusy = "all_busy",
    }
}

/// What a caller asks of the pool.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct KeySelection {
    /// Who will run the task; may be empty.
    pub runner_id: Text,
    /// How long the lease shall live, in microseconds; `None` for the default.
    pub ttl_micros: Option<i64>,
    /// What the job is expected to cost upstream, in nano-USD; `None` if unknown.
    pub estimated_cost_nano_usd: Option<i64>,
    /// The id the new lease gets: made by the engine, not by the caller.
    pub lease_id: Text,
    /// Set by the engine: it has waited, and now it is its turn.
    pub has_turn: bool,
    /// Set by the engine while others have waited longer: no slot that they wait for is given.
    pub is_behind_others: bool,
}

/// What a runner reports when it gives a key back.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// How the runner calls it; `None` where it leaves the judgement to the rest.
    pub outcome: Option<LeaseOutcome>,
    /// The status of fal's answer; `None` if there was none.
    pub http_status: Option<u16>,
    /// fal's body, or the runner's own text.
    pub error_message: Text,
    /// How long fal asked to wait, in microseconds.
    pub retry_after_micros: Option<i64>,
    /// How long the job took, in microseconds.
    pub latency_micros: Option<i64>,
}

impl Report {
    /// That the job succeeded.
    pub fn succeeded() -> Self {
        Self { outcome: Some(LeaseOutcome::Succeeded), ..Self::default() }
    }
}

/// A key for one task.
#[derive(Clone, Copy, Debug)]
pub struct KeyAsk<'a> {
    /// Whose task.
    pub user_id: UserId,
    /// The task.
    pub task_id: &'a Text,
    /// The model.
    pub app_name: &'a Text,
    /// The id of the key the task was started with and has not ended on: its account is needed again.
    pub running_on: Option<&'a Text>,
    /// The rest of what the caller said.
    pub selection: &'a KeySelection,
}

/// A lease that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// Names it.
    pub lease_id: Text,
    /// The id of its key.
    pub key_id: Text,
    /// The same runner held it already: nothing was done now.
    pub again: bool,
}

/// A lease that a caller named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLease {
    /// The task it was given for.
    pub task_id: Text,
    /// The id of its key.
    pub key_id: Text,
    /// The task has a newer one.
    pub is_superseded: bool,
}

/// The key pool, as the ledger sees it: the locked rows of one batch.
pub trait Keys {
    /// Leases a key. Called when nothing else can refuse the command any more.
    ///
    /// # Errors
    /// Why there is none: NO_KEY_AVAILABLE, SECRET_UNAVAILABLE.
    fn lease(&mut self, ask: &KeyAsk<'_>) -> Result<Leased, Rejection>;

    /// A lease by its id; `None` if there is none.
    fn named(&self, lease_id: &Text) -> Option<NamedLease>;

    /// Whether a lease of the task lives: its hold does not expire.
    fn is_leased(&mut self, task_id: &Text) -> bool;

    /// fal has taken the job of this lease.
    fn started(&mut self, lease_id: &Text);

    /// Gives a lease back. One that is closed already stays as it is.
    fn release(&mut self, lease_id: &Text, report: &Report);
}

/// A pool without accounts, for batches that name no keys.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl Keys for NoKeys {
    fn lease(&mut self, _: &KeyAsk<'_>) -> Result<Leased, Rejection> {
        let retry_after_micros = RETRY_LATEST_MICROS;
        Err(Rejection::NoKeyAvailable { why: Why::NoneEnabled, retry_after_micros, is_tied: false })
    }

    fn named(&self, _: &Text) -> Option<NamedLease> {
        None
    }

    fn is_leased(&mut self, _: &Text) -> bool {
        false
    }

    fn started(&mut self, _: &Text) {}

    fn release(&mut self, _: &Text, _: &Report) {}
}

/// Nobody who gets no key is sent away for longer: 60 s, the longest `max_wait`. Longer waits are for an operator to
/// end.
pub const RETRY_LATEST_MICROS: i64 = 60_000_000;

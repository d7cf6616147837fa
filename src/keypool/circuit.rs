//! Whether an account or a workspace may be used: the way out (a trip), the wait, the one probe, the ramped return.
//!
//! | gate | what may be leased | how it ends |
//! |---|---|---|
//! | `Free` | up to its limit; a part of it while the return is ramped | a trip |
//! | `Shut` | nothing | its time, which only ever moves back |
//! | `Due` | one probe, the first that commits, in the whole fleet | that lease |
//! | `Probing` | nothing more | the probe's report: free again, or out for longer |

use super::settings::Settings;
use crate::ledger::text_enum::text_enum;
use crate::ledger::{Micros, Text};

text_enum! {
    /// Why something is out, the gravest last.
    Cause {
        /// HTTP 429.
        RateLimited = "rate_limited",
        /// A run of HTTP 5xx or timeouts.
        UpstreamError = "upstream_error",
        /// The user is locked.
        AccountLocked = "account_locked",
        /// The key is refused.
        AuthFailed = "auth_failed",
    }
}

text_enum! {
    /// What an operator is told, the gravest last.
    Health {
        /// In use.
        Healthy = "healthy",
        /// One lease is trying it.
        Probing = "probing",
        /// Out for a while.
        CoolingDown = "cooling_down",
        /// Out: fal has locked it.
        Locked = "locked",
        /// Out: fal refuses its key.
        AuthFailed = "auth_failed",
    }
}

/// What a circuit lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Leases, up to the limit.
    Free,
    /// One lease, as a probe.
    Due,
    /// Nothing: a probe is under way.
    Probing,
    /// Nothing before this moment.
    Shut(Micros),
}

impl Gate {
    /// The stricter of two gates that must both be passed.
    #[must_use]
    pub fn strictest(self, other: Gate) -> Gate {
        match (self, other) {
            (Gate::Shut(one), Gate::Shut(two)) => Gate::Shut(one.max(two)),
            (Gate::Shut(until), _) | (_, Gate::Shut(until)) => Gate::Shut(until),
            (Gate::Probing, _) | (_, Gate::Probing) => Gate::Probing,
            (Gate::Due, _) | (_, Gate::Due) => Gate::Due,
            (Gate::Free, Gate::Free) => Gate::Free,
        }
    }
}

/// Being out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// Why.
    pub cause: Cause,
    /// Since when; a failed probe begins anew.
    pub since: Micros,
    /// The earliest moment of a probe.
    pub until: Micros,
    /// The lease that is trying it.
    pub probe: Option<Text>,
}

/// A circuit: two of them stand between a task and a key, the key's own and its workspace's.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Circuit {
    /// Set while it is out.
    pub out: Option<Out>,
    /// Trips since it last proved itself: what the next delay is doubled by.
    pub strikes: u32,
    /// When its newest probe succeeded: what is older is no evidence. Its slots grow from here.
    pub return_time: Option<Micros>,
}

/// A failure that takes something out.
#[derive(Clone, Copy, Debug)]
pub struct Trip<'a> {
    /// Why.
    pub cause: Cause,
    /// When it was heard.
    pub now: Micros,
    /// The lease that met it.
    pub lease_id: &'a Text,
    /// The earliest return that fal asked for, in microseconds from now.
    pub retry_after_micros: i64,
    /// The whole upstream seems to be down: a probe that fails proves nothing, so the next delay is no longer.
    pub is_correlated: bool,
    /// For the jitter.
    pub random: u64,
}

impl Circuit {
    /// What it lets through.
    pub fn gate(&self, now: Micros) -> Gate {
        match &self.out {
            None => Gate::Free,
            Some(out) if out.until > now => Gate::Shut(out.until),
            Some(out) if out.probe.is_some() => Gate::Probing,
            Some(_) => Gate::Due,
        }
    }

    /// What an operator is told.
    pub fn health(&self) -> Health {
        match &self.out {
            None => Health::Healthy,
            Some(out) if out.probe.is_some() => Health::Probing,
            Some(out) => match out.cause {
                Cause::RateLimited | Cause::UpstreamError => Health::CoolingDown,
                Cause::AccountLocked => Health::Locked,
                Cause::AuthFailed => Health::AuthFailed,
            },
        }
    }

    /// Whether `lease_id` is the probe.
    pub fn is_probed_by(&self, lease_id: &str) -> bool {
        self.out.as_ref().and_then(|out| out.probe.as_ref()).is_some_and(|probe| &**probe == lease_id)
    }

    /// How many of `limit` slots may be in use: all of them but after a return, when they grow from one, linearly
    /// over the ramp.
    pub fn slots(&self, limit: u32, now: Micros, settings: &Settings) -> u32 {
        let Some(returned) = self.return_time else { return limit };
        let since = now.0.saturating_sub(returned.0).max(0);
        if since >= settings.ramp_micros {
            return limit;
        }
        let grown = i64::from(limit).saturating_mul(since).checked_div(settings.ramp_micros).unwrap_or(0);
        u32::try_from(grown).unwrap_or(limit).clamp(1.min(limit), limit)
    }

    /// Takes it out, or keeps it out for longer; never for less.
    ///
    /// A burst of failures of leases given before it went out is one strike, however many report; only a failed
    /// probe is the next.
    pub fn trip(&mut self, trip: &Trip<'_>, settings: &Settings) {
        let failed_probe = self.is_probed_by(trip.lease_id);
        let anew = self.out.is_none() || failed_probe;
        if anew && !(failed_probe && trip.is_correlated) {
            self.strikes = self.strikes.saturating_add(1);
        }
        let delay = settings.backoff(trip.cause).delay_micros(self.strikes, trip.random);
        let asked = trip.retry_after_micros.clamp(0, settings.max_retry_after_micros);
        let until = trip.now.plus(delay.max(asked));
        self.out = Some(match self.out.take() {
            Some(out) if !anew => {
                Out { cause: out.cause.max(trip.cause), until: out.until.max(until), ..out }
            }
            Some(out) => Out { cause: trip.cause, since: trip.now, until: out.until.max(until), probe: None },
            None => Out { cause: trip.cause, since: trip.now, until, probe: None },
        });
    }

    /// Gives the probe to a lease.
    pub fn begin_probe(&mut self, lease_id: Text) {
        if let Some(out) = &mut self.out {
            out.probe = Some(lease_id);
        }
    }

    /// The probe ended without a word on the account: another may try, but only after the first delay of the cause,
    /// so that a task which fails wherever it runs does not try again at once. It is no strike.
    pub fn put_off(&mut self, now: Micros, random: u64, settings: &Settings) {
        if let Some(out) = &mut self.out {
            out.probe = None;
            let delay = settings.backoff(out.cause).delay_micros(1, random);
            out.until = out.until.max(now.plus(delay));
        }
    }

    /// The probe is none any more, whatever comes of it: another may try.
    pub fn drop_probe(&mut self) {
        if let Some(out) = &mut self.out {
            out.probe = None;
        }
    }

    /// The probe proved it: back in use, ramped.
    pub fn heal(&mut self, now: Micros) {
        self.out = None;
        self.return_time = Some(now);
    }

    /// Another secret is stored for it: it starts without the old one's guilt, and what was leased with that one is no
    /// evidence. A probe that is under way is none any more.
    pub fn forgive(&mut self, now: Micros) {
        if self.out.is_some() {
            self.heal(now);
        }
        self.strikes = 0;
    }

    /// A success outside a probe: once the ramp is over, what was is forgotten.
    pub fn settle(&mut self, now: Micros, settings: &Settings) {
        let proved = |returned: Micros| returned.plus(settings.ramp_micros) <= now;
        if self.out.is_none() && self.return_time.is_none_or(proved) {
            self.strikes = 0;
            self.return_time = None;
        }
    }

    /// An operator's word, or credit that came in: the probe may come at once. The one way an end moves forward.
    pub fn hasten(&mut self, now: Micros) {
        if let Some(out) = &mut self.out {
            out.until = out.until.min(now);
        }
    }
}

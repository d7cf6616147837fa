//! What a report does to the account: taken out, counted against, proved, or left alone.

use std::sync::Arc;

use super::audit::{FieldChange, Subject, changes};
use super::blame::{Report, classify};
use super::circuit::{Cause, Circuit, Trip};
use super::lease::{Lease, LeaseOutcome};
use super::pool::{Pool, Released, Unknown};
use super::workspace::{Workspace, health};
use super::{Account, Health};
use crate::ledger::Micros;

/// What a report means for one circuit.
enum Ruling {
    /// Take it out, or keep it out.
    Trip,
    /// The probe proved it.
    Heal,
    /// The probe said nothing of it: another, later.
    PutOff,
    /// No evidence.
    Leave,
}

impl Pool<'_> {
    /// Gives a slot back and judges the account; `random` is for the jitter of a cooldown.
    ///
    /// A lease that is closed already stays as it is. If it had expired, no longer ago than the default time to live,
    /// it is noted what its runner came back with.
    pub fn release(&mut self, lease_id: &str, report: &Report, random: u64) -> Result<Released, Unknown> {
        let lease = Arc::clone(self.lease(lease_id).ok_or(Unknown)?);
        let outcome = classify(report);
        if !lease.is_open() {
            self.note_late(&lease, outcome);
            let health = self.health_of(&lease);
            return Ok(Released { lease, health, replayed: true });
        }
        let closed = self.close(&lease, outcome);
        self.judge(&lease, outcome, report, random);
        let health = self.health_of(&lease);
        Ok(Released { lease: closed, health, replayed: false })
    }

    /// Notes the report of a lease that had expired. Its row cannot remember that it was noted, so a runner that
    /// reports for ever is heard for a while only, and not at all where it says no more than its silence did.
    fn note_late(&mut self, lease: &Lease, outcome: LeaseOutcome) {
        let heard_until = lease.release_time.map(|ended| ended.plus(self.settings.default_ttl_micros));
        let is_late = lease.outcome == Some(LeaseOutcome::Expired) && heard_until >= Some(self.now);
        if is_late && outcome != LeaseOutcome::RunnerCanceled {
            let subject = Subject::Lease(Arc::clone(&lease.lease_id), lease.account_id);
            self.note_by_pool(subject, format!("reported {outcome} after it had expired"), Vec::new());
        }
    }

    /// fal has taken the job of a probe. Rate limits, locks and refused keys show when a job is handed in, so the
    /// account is proved. Whether it still fails in the running the job's end tells, or a heartbeat after as long as a
    /// ramp takes: an hour's job shall not keep all others out.
    pub(super) fn accepted(&mut self, lease: &Lease) {
        if !lease.is_probe || !lease.is_open() {
            return;
        }
        let has_run = lease.acquire_time.plus(self.settings.ramp_micros) <= self.now;
        self.change_account(lease, "a probe was accepted", |account, workspace, now| {
            if account.key.is_probed_by(&lease.lease_id) {
                account.key.heal(now);
            }
            let circuit = &mut workspace.circuit;
            let may_fail_yet = circuit.out.as_ref().is_some_and(|out| out.cause == Cause::UpstreamError);
            if circuit.is_probed_by(&lease.lease_id) && (has_run || !may_fail_yet) {
                circuit.heal(now);
            }
        });
    }

    fn judge(&mut self, lease: &Lease, outcome: LeaseOutcome, report: &Report, random: u64) {
        let Some(account) = self.account(lease.account_id) else { return };
        let Some(shared) = self.shared_of(account) else { return };
        let settings = *self.settings;
        let of_key = outcome == LeaseOutcome::AuthFailed;
        let judged = if of_key { &account.key } else { &shared.row.circuit };
        let is_of_old_key = of_key && lease.key_id != account.key_id;
        let is_old = !judged.is_probed_by(&lease.lease_id) && (is_of_old_key || has_returned(judged, lease));
        // An input that fails once more, on this account or another, speaks of itself.
        let is_suspect = lease.is_retry && outcome == LeaseOutcome::UpstreamError;
        let cause = outcome.cause().filter(|_| !is_old && !is_suspect);
        let mut vitals = shared.row.vitals;
        match cause {
            Some(cause) => vitals.fail(cause, self.now, &settings),
            None if outcome == LeaseOutcome::Succeeded => {
                vitals.succeed(self.now, report.latency_micros, &settings);
            }
            None => {}
        }
        let is_correlated = cause.is_some_and(|cause| self.is_correlated(&shared.row, cause));
        let after = Workspace { vitals, ..shared.row.clone() };
        let by_key = self.rule_on_key(&account.key, lease, outcome, cause, is_correlated);
        let by_workspace = self.rule_on_workspace(&after, lease, outcome, cause, (is_correlated, report));
        let trip = Trip {
            cause: cause.unwrap_or(Cause::UpstreamError),
            now: self.now,
            lease_id: &lease.lease_id,
            retry_after_micros: report.retry_after_micros.unwrap_or(0),
            is_correlated,
            random,
        };
        self.change_account(lease, outcome.as_str(), |account, workspace, now| {
            if cause.is_some() {
                account.error_cnt = account.error_cnt.saturating_add(1);
            }
            workspace.vitals = vitals;
            let succeeded = outcome == LeaseOutcome::Succeeded;
            let settles_key = succeeded && !has_returned(&account.key, lease);
            let settles_workspace = succeeded && !has_returned(&workspace.circuit, lease);
            apply(&mut account.key, &by_key, &trip, &settings);
            apply(&mut workspace.circuit, &by_workspace, &trip, &settings);
            if settles_key {
                account.key.settle(now, &settings);
            }
            if settles_workspace {
                workspace.circuit.settle(now, &settings);
            }
        });
    }

    /// Whether most others meet the same at once.
    fn is_correlated(&self, workspace: &Workspace, cause: Cause) -> bool {
        let since = self.now.plus(self.settings.correlation_micros.saturating_neg());
        self.peers.share_the_fault(&workspace.workspace, cause, since)
    }

    /// A key answers for refusals of the key alone; any answer that got past that proves it.
    fn rule_on_key(
        &self,
        key: &Circuit,
        lease: &Lease,
        outcome: LeaseOutcome,
        cause: Option<Cause>,
        is_correlated: bool,
    ) -> Ruling {
        let is_probe = key.is_probed_by(&lease.lease_id);
        match outcome {
            LeaseOutcome::AuthFailed if cause.is_none() => Ruling::Leave,
            LeaseOutcome::AuthFailed if is_correlated && !is_probe => Ruling::Leave,
            LeaseOutcome::AuthFailed => Ruling::Trip,
            _ if !is_probe => Ruling::Leave,
            LeaseOutcome::UpstreamError | LeaseOutcome::RunnerCanceled | LeaseOutcome::Expired => {
                Ruling::PutOff
            }
            LeaseOutcome::Succeeded
            | LeaseOutcome::RateLimited
            | LeaseOutcome::AccountLocked
            | LeaseOutcome::CallerError => Ruling::Heal,
        }
    }

    /// A workspace answers for limits, locks and upstream errors, each on its own evidence.
    fn rule_on_workspace(
        &self,
        workspace: &Workspace,
        lease: &Lease,
        outcome: LeaseOutcome,
        cause: Option<Cause>,
        (is_correlated, report): (bool, &Report),
    ) -> Ruling {
        let is_probe = workspace.circuit.is_probed_by(&lease.lease_id);
        match (outcome, cause) {
            (LeaseOutcome::AccountLocked, Some(_)) => Ruling::Trip,
            // What fal asks of this account in so many words is done, whatever happens to the others.
            (LeaseOutcome::RateLimited, Some(_))
                if is_probe || !is_correlated || report.retry_after_micros.is_some() =>
            {
                Ruling::Trip
            }
            (LeaseOutcome::UpstreamError, Some(_)) if is_probe || self.is_broken(workspace) => Ruling::Trip,
            (LeaseOutcome::Succeeded | LeaseOutcome::CallerError, _) if is_probe => Ruling::Heal,
            _ if is_probe => Ruling::PutOff,
            _ => Ruling::Leave,
        }
    }

    /// A run of upstream errors that lasted, while more of the others succeeded than failed.
    fn is_broken(&self, workspace: &Workspace) -> bool {
        let vitals = &workspace.vitals;
        vitals.streak >= self.settings.streak
            && self.now.0.saturating_sub(vitals.streak_start.0) >= self.settings.streak_micros
            && self.peers.do_better(&workspace.workspace, Cause::UpstreamError, vitals.streak_start)
    }

    fn health_of(&self, lease: &Lease) -> Health {
        let account = self.account(lease.account_id);
        let shared = account.and_then(|account| Some((account, self.shared_of(account)?)));
        shared.map_or(Health::Healthy, |(account, shared)| health(account, &shared.row).0)
    }

    /// Changes an account and its workspace, and notes it if either went out or came back.
    pub(super) fn change_account(
        &mut self,
        lease: &Lease,
        why: &str,
        change: impl FnOnce(&mut Account, &mut Workspace, Micros),
    ) {
        let Some(account) = self.account(lease.account_id) else { return };
        let Some(shared) = self.shared_of(account) else { return };
        let (mut account, mut workspace) = (account.clone(), shared.row.clone());
        let (key, circuit) = (account.key.clone(), workspace.circuit.clone());
        change(&mut account, &mut workspace, self.now);
        let of_key = moved(&key, &account.key);
        let of_workspace = moved(&circuit, &workspace.circuit);
        let reason = format!("{why}, lease {}", lease.lease_id);
        if !of_key.is_empty() {
            self.note_by_pool(Subject::Account(account.account_id), reason.clone(), of_key);
        }
        if !of_workspace.is_empty() {
            let subject = Subject::Workspace(Arc::clone(&workspace.workspace), account.account_id);
            self.note_by_pool(subject, reason, of_workspace);
        }
        let name = Arc::clone(&workspace.workspace);
        self.put_account(account);
        self.change_workspace(&name, |row| *row = workspace);
    }
}

/// Whether a circuit has returned since the lease was given: what has returned is judged by what it did since. The
/// key's return says nothing of the workspace, nor the workspace's of the key.
fn has_returned(circuit: &Circuit, lease: &Lease) -> bool {
    circuit.return_time.is_some_and(|returned| lease.acquire_time < returned)
}

fn apply(circuit: &mut Circuit, ruling: &Ruling, trip: &Trip<'_>, settings: &super::Settings) {
    match ruling {
        Ruling::Trip => circuit.trip(trip, settings),
        Ruling::Heal => circuit.heal(trip.now),
        Ruling::PutOff => circuit.put_off(trip.now, trip.random, settings),
        Ruling::Leave => {}
    }
}

/// What an operator sees of a circuit's move.
pub(super) fn moved(before: &Circuit, after: &Circuit) -> Vec<FieldChange> {
    let until = |circuit: &Circuit| {
        circuit.out.as_ref().map_or_else(|| "none".to_owned(), |out| out.until.0.to_string())
    };
    changes([
        ("health", before.health().to_string(), after.health().to_string()),
        ("cooldown_until_micros", until(before), until(after)),
    ])
}

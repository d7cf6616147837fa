//! What is watched at each commit, when the tables before and after it are at hand: slots, fences and holds.

use std::collections::BTreeMap;

use scrip::keypool::{Lease, LeaseOutcome, Subject};
use scrip::ledger::{Change, HoldState, Micros, Text};
use scrip::store::{Plan, Snapshot};

use crate::support::model::Model;
use crate::support::model::keypool_world::World as PoolWorld;

/// The watcher: what it found wrong, and what it saw.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) wrong: Vec<String>,
    pub(crate) commits: u64,
    pub(crate) leases: u64,
    pub(crate) probes: u64,
    pub(crate) killed: u64,
    /// How each hold that is no longer open was resolved.
    resolved: BTreeMap<Text, HoldState>,
}

/// A plan that is about to be committed, what it was decided on, and the key pool before it.
pub(crate) struct Committing {
    plan: Plan,
    now: Micros,
    /// When the open holds among the rows expire.
    expiries: BTreeMap<Text, Micros>,
    before: Option<PoolWorld>,
}

/// What a batch read, as far as the watcher needs it.
pub(crate) struct ReadBefore(Micros, BTreeMap<Text, Micros>);

impl ReadBefore {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let open = snapshot.ledger.tasks.iter();
        let open = open.filter_map(|task| Some((Text::clone(&task.task_id), task.hold_expire_time?)));
        Self(snapshot.ledger.now, open.collect())
    }
}

impl Committing {
    pub(crate) fn of(model: &Model, plan: &Plan, ReadBefore(now, expiries): ReadBefore) -> Self {
        let before = (!plan.keys.leases.is_empty()).then(|| model.pool());
        Self { plan: plan.clone(), now, expiries, before }
    }

    /// What is written, in a few words.
    pub(crate) fn words(&self) -> String {
        let Plan { ledger, keys } = &self.plan;
        let tasks: Vec<&Text> = ledger.tasks.iter().map(|write| &write.task.task_id).collect();
        let leases: Vec<&Text> = keys.leases.iter().map(|(_, lease)| &lease.lease_id).collect();
        format!("{tasks:?}, {} entries, leases {leases:?}", ledger.entries.len())
    }
}

impl Watch {
    /// A plan was committed just now: the model's tables are as it left them.
    pub(crate) fn committed(&mut self, committing: Committing, model: &Model) {
        let Committing { plan, now, expiries, before } = committing;
        if plan.is_empty() {
            return;
        }
        self.commits += 1;
        for write in &plan.ledger.tasks {
            self.hold(&write.task.task_id, write.task.hold_state);
            let was_due = expiries.get(&write.task.task_id).is_some_and(|expiry| *expiry <= now);
            // A hold lives as long as a runner holds a key for its task.
            let is_late = || {
                let task_id = &write.task.task_id;
                let lives = |pool: &PoolWorld| pool.newest(task_id).is_some_and(|lease| lease.is_open());
                let is_given = given(&plan).any(|lease| lease.task_id == *task_id);
                !is_given && !before.as_ref().map_or_else(|| lives(&model.pool()), lives)
            };
            if write.task.hold_state == Some(HoldState::Captured) && was_due && is_late() {
                self.wrong.push(format!("captured at {now:?}, after its hold had expired: {:?}", write.task));
            }
            let was_open = expiries.contains_key(&write.task.task_id);
            if write.task.hold_state == Some(HoldState::Expired) && was_open && !was_due {
                self.wrong.push(format!("expired at {now:?}, before its time: {:?}", write.task));
            }
        }
        for (_, lease) in &plan.keys.leases {
            if lease.outcome == Some(LeaseOutcome::Expired) && lease.expire_time > now {
                self.wrong.push(format!("expired at {now:?}, before its time: {lease:?}"));
            }
        }
        let Some(before) = before else { return };
        let after = model.pool();
        for lease in given(&plan) {
            self.leases += 1;
            self.probes += u64::from(lease.is_probe);
            self.fence(lease, &plan, &before);
            self.slot(lease, &plan, (&before, &after));
        }
    }

    fn hold(&mut self, task_id: &Text, state: Option<HoldState>) {
        let Some(state) = state.filter(|state| *state != HoldState::Open) else { return };
        let first = *self.resolved.entry(Text::clone(task_id)).or_insert(state);
        if first != state {
            self.wrong.push(format!("the hold of {task_id} was {first} and then {state}"));
        }
    }

    /// A task's leases are numbered without a gap.
    fn fence(&mut self, lease: &Lease, plan: &Plan, before: &PoolWorld) {
        let newest = before.newest(&lease.task_id).map_or(0, |newest| newest.fence);
        let of_task = given(plan).filter(|other| other.task_id == lease.task_id);
        let earlier = of_task.filter(|other| other.fence < lease.fence).count() as i64;
        if lease.fence != newest + earlier + 1 {
            self.wrong.push(format!("{lease:?} follows the fence {newest}"));
        }
    }

    /// No workspace has more open leases than its limit when one is given. Where operators have changed an account in
    /// the same batch, the higher limit counts; where they have changed several, it is not known which was in force.
    fn slot(&mut self, lease: &Lease, plan: &Plan, (before, after): (&PoolWorld, &PoolWorld)) {
        let workspace = &after.accounts[&lease.account_id].workspace;
        let changes = plan.keys.audit.iter().filter(|line| {
            let moves = |field: &str| matches!(field, "status" | "max_concurrency" | "workspace");
            matches!(line.subject, Subject::Account(_)) && line.changes.iter().any(|it| moves(it.field))
        });
        if !lease.is_open() || changes.count() > 1 {
            return;
        }
        let limit = limit_of(before, workspace).max(limit_of(after, workspace));
        let open = after.open(workspace);
        if open > limit {
            self.wrong.push(format!("{workspace} has {open} open leases of {limit} after {lease:?}"));
        }
    }
}

fn given(plan: &Plan) -> impl Iterator<Item = &Lease> {
    let leases = plan.keys.leases.iter().filter(|(change, _)| *change == Change::Insert);
    leases.map(|(_, lease)| &**lease)
}

/// The least of the limits of a workspace's accounts that are not out.
fn limit_of(pool: &PoolWorld, workspace: &Text) -> u32 {
    let accounts = pool.accounts.values().filter(|account| account.workspace == *workspace);
    let there = accounts.filter(|account| !account.status.is_out());
    there.map(|account| account.max_concurrency).min().unwrap_or(0)
}

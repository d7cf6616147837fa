//! Batches with keys: the ledger's decider and the key pool's desk over one snapshot, as the engine puts them together.
//!
//! What a store reads for such a batch is held to the shadow each time: exactly what the footprint promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use scrip::keypool;
use scrip::keypool::{AccountId, Desk, Pool, Settings, View};
use scrip::ledger;
use scrip::ledger::decide::{Decider, Outcome};
use scrip::ledger::{Claim, Micros, Rejection, Submission, TaskStatus, Text, Work};
use scrip::store::{Failure, Footprint, Plan, Run, Snapshot, Transacted, Writer};

use crate::bench::{Bench, batch_id};
use crate::commands::{ACTOR, AsCommand, one, text};
use crate::support::model::keypool_world::World as PoolWorld;

/// One item of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Ledger(Work),
    /// A command of the pool, with its `request_id`.
    Pool(Text, keypool::Command),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Ledger(Vec<Outcome>),
    Pool(Result<keypool::Done, Rejection>),
}

/// What a batch is decided by.
pub(crate) struct Judge {
    pub(crate) view: View,
    settings: Settings,
    seed: u64,
    /// In the place of the store's moment, and of its fresh ids: then every store decides the same.
    pub(crate) scripted: Option<(Micros, AccountId)>,
}

impl Judge {
    /// A judge whose view is of the pool as it is at a moment.
    pub(crate) fn seeing(pool: &PoolWorld, now: Micros, seed: u64) -> Self {
        let settings = Settings::default();
        let mut view = View::new(settings);
        pool.refresh(&mut view, now);
        Self { view, settings, seed, scripted: None }
    }

    fn footprint(&self, items: &[Item]) -> Footprint {
        let works = items.iter().filter_map(|item| match item {
            Item::Ledger(work) => Some(work.clone()),
            Item::Pool(..) => None,
        });
        let works: Vec<Work> = works.collect();
        let mut footprint = Footprint::from(ledger::Footprint::of(&works));
        for submission in works.iter().flat_map(submissions) {
            self.name_keys(submission, &mut footprint.keys);
        }
        for item in items {
            let Item::Pool(request_id, command) = item else { continue };
            let named = command.footprint();
            footprint.keys.accounts.extend(named.accounts);
            footprint.keys.leases.extend(named.leases);
            footprint.keys.workspaces.extend(named.workspaces);
            footprint.keys.key_ids.extend(named.key_ids);
            footprint.keys.new_accounts += named.new_accounts;
            if !request_id.is_empty() {
                footprint.ledger.requests.insert((0, Text::clone(request_id)));
            }
        }
        footprint
    }

    fn name_keys(&self, submission: &Submission, keys: &mut keypool::Footprint) {
        let command = &submission.command;
        let expires = matches!(command, ledger::Command::ExpireHold(_));
        if command.selection().is_some() || command.lease_id().is_some() || expires {
            keys.tasks.extend(command.task_id().cloned());
        }
        keys.leases.extend(command.lease_id().cloned());
        if let Some(selection) = command.selection() {
            let cost = selection.estimated_cost_nano_usd.unwrap_or(0);
            let candidates = self.view.propose("fal-ai/flux/dev", cost, self.seed);
            keys.accounts.extend(candidates.accounts());
        }
    }

    /// The answers, the plan, and the accounts that must be locked first.
    fn decide(&self, snapshot: Snapshot, items: &[Item]) -> (Vec<Answer>, Plan, BTreeSet<AccountId>) {
        let mut decider = Decider::new(snapshot.ledger);
        let pool = Pool::new(snapshot.keys, self.view.peers(), &self.settings);
        let mut desk = Desk::new(pool, &self.view, BTreeSet::new(), self.seed);
        let answers = items.iter().map(|item| match item {
            Item::Ledger(work) => Answer::Ledger(decider.work(work, &mut desk)),
            Item::Pool(request_id, command) => {
                Answer::Pool(administer(&mut decider, &mut desk, request_id, command))
            }
        });
        let answers = answers.collect();
        let unlocked = desk.unlocked().clone();
        let (_, keys) = desk.close();
        let plan = Plan { ledger: decider.into_plan(), keys };
        if unlocked.is_empty() { (answers, plan, unlocked) } else { (answers, Plan::default(), unlocked) }
    }

    /// Runs a batch until it is committed; answers it, its plan, and what was read for it.
    pub(crate) async fn run(
        &self,
        writer: &mut dyn Writer,
        items: &[Item],
    ) -> (Vec<Answer>, Plan, (Footprint, Snapshot)) {
        let mut footprint = self.footprint(items);
        for _ in 0..1_000 {
            let mut decided = None;
            let mut judge = |snapshot: Snapshot| {
                let read = snapshot.clone();
                let (answers, plan, unlocked) = self.decide(self.at_its_moment(snapshot), items);
                decided = Some((answers, plan.clone(), unlocked, read));
                plan
            };
            match writer.transact(batch_id(), Run::First, &footprint, &mut judge).await {
                Transacted::Committed => {
                    let (answers, plan, unlocked, read) = decided.expect("a committed batch was decided");
                    if unlocked.is_empty() {
                        return (answers, plan, (footprint, read));
                    }
                    footprint.keys.accounts.extend(unlocked);
                }
                Transacted::NotCommitted(Failure::Again(_)) => tokio::task::yield_now().await,
                other => panic!("{other:?}"),
            }
        }
        panic!("a thousand conflicts in a row");
    }

    fn at_its_moment(&self, mut snapshot: Snapshot) -> Snapshot {
        if let Some((now, first_id)) = self.scripted {
            (snapshot.ledger.now, snapshot.keys.now) = (now, now);
            snapshot.keys.fresh_ids = (first_id..).take(snapshot.keys.fresh_ids.len()).collect();
        }
        snapshot
    }
}

fn submissions(work: &Work) -> Vec<&Submission> {
    match work {
        Work::One(submission) => vec![submission],
        Work::Batch(batch) => batch.items.iter().flatten().collect(),
    }
}

fn administer(
    decider: &mut Decider,
    desk: &mut Desk<'_>,
    request_id: &Text,
    command: &keypool::Command,
) -> Result<keypool::Done, Rejection> {
    let content = command.content().filter(|_| !request_id.is_empty());
    let Some((method, fingerprint)) = content else { return desk.command(command, ACTOR) };
    let claim = Claim { user_id: 0, request_id, method, task_id: None, fingerprint: &fingerprint };
    if decider.is_repeat(&claim)? {
        return desk.repeated(command);
    }
    let done = desk.command(command, ACTOR)?;
    decider.record_done(&claim);
    Ok(done)
}

/// What a store read, in one order.
fn sorted(mut snapshot: keypool::Snapshot) -> keypool::Snapshot {
    snapshot.workspaces.sort_by_key(|row| Arc::clone(&row.workspace));
    snapshot.accounts.sort_by_key(|row| row.account_id);
    snapshot.leases.sort_by_key(|lease| Arc::clone(&lease.lease_id));
    snapshot.keys.sort_by_key(|key| (key.account_id, key.purpose, Arc::clone(&key.key_id)));
    snapshot.key_owners.sort();
    snapshot
}

impl Bench {
    /// Runs a batch with keys, follows it in the shadow, and holds what was read to it.
    pub(crate) async fn keyed(&mut self, items: &[Item]) -> Vec<Answer> {
        let judge = Judge::seeing(&self.pool, self.now().await, 7);
        self.judged(&judge, items).await
    }

    pub(crate) async fn judged(&mut self, judge: &Judge, items: &[Item]) -> Vec<Answer> {
        let (answers, plan, (footprint, read)) = judge.run(self.writer.as_mut(), items).await;
        self.assert_read(&footprint, read);
        self.shadow.apply(&plan.ledger).expect("the model takes what the store took");
        self.pool.apply(&plan.keys);
        self.plan = plan.ledger;
        answers
    }

    /// What was read of the pool is exactly what the footprint promises.
    pub(crate) fn assert_read(&self, footprint: &Footprint, mut read: Snapshot) {
        assert_eq!(read.keys.now, read.ledger.now, "one moment for both rooms");
        let fresh = std::mem::take(&mut read.keys.fresh_ids);
        let distinct: BTreeSet<AccountId> = fresh.iter().copied().collect();
        assert_eq!((fresh.len(), distinct.len()), (footprint.keys.new_accounts as usize, fresh.len()));
        assert!(fresh.iter().all(|id| *id >= 1 && !self.pool.accounts.contains_key(id)), "{fresh:?}");
        let processing = self.shadow.tasks().values().map(|row| &row.task);
        let running_on: BTreeMap<Text, Text> = processing
            .filter(|task| task.status == TaskStatus::Processing)
            .map(|task| (Text::clone(&task.task_id), Text::clone(&task.key_id)))
            .collect();
        let keys = keypool::Footprint { new_accounts: 0, ..footprint.keys.clone() };
        let promised = self.pool.read(&keys, &running_on, read.keys.now);
        assert_eq!(sorted(read.keys), sorted(promised), "{footprint:?}");
    }

    /// A command of the ledger, which must be done.
    pub(crate) async fn with_keys(&mut self, command: impl AsCommand) -> ledger::decide::Done {
        let mut answers = self.keyed(&[Item::Ledger(one("", command))]).await;
        let Answer::Ledger(mut outcomes) = answers.remove(0) else { panic!("an answer of the ledger") };
        outcomes.remove(0).expect("done")
    }

    /// A command of the pool.
    pub(crate) async fn administer(
        &mut self,
        request_id: &str,
        command: keypool::Command,
    ) -> Result<keypool::Done, Rejection> {
        let mut answers = self.keyed(&[Item::Pool(text(request_id), command)]).await;
        let Answer::Pool(done) = answers.remove(0) else { panic!("an answer of the pool") };
        done
    }
}

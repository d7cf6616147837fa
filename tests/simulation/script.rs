//! The script: what callers ask next, from what they know. Half of it repeats an earlier call, half of those with
//! other content under the same keys.

use std::collections::BTreeMap;
use std::sync::Mutex;

use scrip::engine::GrantedKey;
use scrip::keypool::{AccountId, Command as Keys, Done};
use scrip::ledger::command::{
    Authorize, Charge, CompleteTask, Credit, Debit, FailTask, SelectKey, StartTask, UNRESOLVED,
};
use scrip::ledger::{Command, KeySelection, Purse, Text, UserId};

use crate::accounts::{Sealing, changed_account};
use crate::chance::Chance;
use crate::commands::{
    AsCommand, capture, charge, complete, credit, debit, fail, of_user, refund, refund_all, select,
    selection, start, text, void,
};
use crate::history::{Asked, Call, Told};
use crate::vary::{changed, report};

/// A second, in microseconds.
pub(crate) const S: i64 = 1_000_000;
/// How far back callers remember.
const RECENT: usize = 10;

/// What is sent next.
pub(crate) enum Next {
    One(Box<Call>),
    Batch { calls: Vec<Call>, atomic: bool },
    Balance(UserId),
}

/// What the callers know among them.
pub(crate) struct Known(Mutex<Facts>);

struct Facts {
    users: i64,
    sealing: Sealing,
    tasks: Vec<(Text, UserId)>,
    /// Those of them that are held.
    holds: Vec<(Text, UserId)>,
    /// Leases and their tasks.
    leases: Vec<(Text, Text)>,
    owners: BTreeMap<Text, UserId>,
    accounts: Vec<AccountId>,
    calls: Vec<Call>,
    /// Numbers that were given to tasks, requests and jobs.
    named: u64,
}

impl Known {
    pub(crate) fn new(users: i64, sealing: Sealing) -> Self {
        let (tasks, holds, leases, accounts, calls) = <_>::default();
        let owners = BTreeMap::new();
        Self(Mutex::new(Facts { users, sealing, tasks, holds, leases, owners, accounts, calls, named: 0 }))
    }

    /// Learns which accounts there are.
    pub(crate) fn accounts_are(&self, accounts: Vec<AccountId>) {
        self.0.lock().expect("whole").accounts = accounts;
    }

    /// Learns from an answer.
    pub(crate) fn hear(&self, told: &Told) {
        let facts = &mut *self.0.lock().expect("whole");
        let granted: Option<&GrantedKey> = match told {
            Told::Ledger(answer) => {
                if let Some(task) = answer.task.as_ref().filter(|_| !answer.replayed) {
                    let list = if task.is_hold() { &mut facts.holds } else { &mut facts.tasks };
                    list.push((Text::clone(&task.task_id), task.user_id));
                }
                answer.lease.as_ref()
            }
            Told::Keys(answer) => {
                if let Done::Account(described) = &answer.done {
                    facts.accounts.push(described.account.account_id);
                }
                None
            }
        };
        if let Some(granted) = granted {
            let lease = &granted.lease;
            facts.leases.push((Text::clone(&lease.lease_id), Text::clone(&lease.task_id)));
        }
    }

    /// What is sent next.
    pub(crate) fn next(&self, chance: &mut Chance) -> Next {
        let facts = &mut *self.0.lock().expect("whole");
        if chance.is(6) {
            let count = chance.between(1, 4);
            let calls = (0..count).map(|_| facts.batched(chance)).collect();
            return Next::Batch { calls, atomic: chance.is(50) };
        }
        if chance.is(4) {
            return Next::Balance(facts.user(chance));
        }
        let call = facts.call(chance);
        Next::One(Box::new(facts.remember(call)))
    }
}

impl Facts {
    fn call(&mut self, chance: &mut Chance) -> Call {
        let again = if chance.is(50) { chance.recent(&self.calls, RECENT) } else { None };
        match again {
            Some(call) if chance.is(50) => changed(call, &self.name("job"), chance),
            Some(call) => call,
            None => self.new_call(chance),
        }
    }

    /// A charge without a key, new or once more.
    fn batched(&mut self, chance: &mut Chance) -> Call {
        let is_charge = |call: &&Call| matches!(&call.asked, Asked::Ledger(Command::Charge(charge)) if charge.select_key.is_none());
        let charges: Vec<Call> = self.calls.iter().filter(is_charge).cloned().collect();
        if let Some(call) = chance.recent(&charges, RECENT).filter(|_| chance.is(40)) {
            return if chance.is(30) { changed(call, "", chance) } else { call };
        }
        let (task_id, user) = self.new_task(chance);
        let charge = Charge { user_id: user, ..charge(&task_id, chance.between(0, 15)) };
        let request_id = self.request_id(chance, 50);
        self.remember(Call::ledger(user, request_id, charge.command()))
    }

    fn remember(&mut self, call: Call) -> Call {
        self.calls.push(call.clone());
        call
    }

    fn name(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("{kind}-{}", self.named)
    }

    fn request_id(&mut self, chance: &mut Chance, percent: u32) -> String {
        if chance.is(percent) { self.name("request") } else { String::new() }
    }

    fn user(&self, chance: &mut Chance) -> UserId {
        // The last one comes to be when somebody credits it.
        let last = if chance.is(10) { self.users } else { self.users - 1 };
        chance.between(1, last)
    }

    fn new_task(&mut self, chance: &mut Chance) -> (Text, UserId) {
        let (task_id, user) = (Text::from(self.name("task")), self.user(chance));
        // Mostly callers go on with what they know to be there.
        if chance.is(6) {
            self.tasks.push((Text::clone(&task_id), user));
        }
        self.owners.insert(Text::clone(&task_id), user);
        (task_id, user)
    }

    /// A task that was asked for lately, or one that never was.
    fn task(&mut self, chance: &mut Chance) -> (Text, UserId) {
        self.one_of(35, chance)
    }

    /// One that is held, so many percent of them, or was charged at once.
    fn one_of(&self, holds: u32, chance: &mut Chance) -> (Text, UserId) {
        let (held, charged) = (chance.recent(&self.holds, RECENT), chance.recent(&self.tasks, RECENT));
        let task = if chance.is(holds) { held.or(charged) } else { charged.or(held) };
        task.filter(|_| !chance.is(2)).unwrap_or_else(|| (text("task-0"), 1))
    }

    /// A lease and its task; a lease that never was now and then, or the lease of another task.
    fn lease(&mut self, chance: &mut Chance) -> (Text, (Text, UserId)) {
        let Some((lease_id, task_id)) = chance.recent(&self.leases, RECENT).filter(|_| !chance.is(3)) else {
            return (text("lease-0"), self.task(chance));
        };
        if chance.is(4) {
            return (lease_id, self.task(chance));
        }
        let owner = self.owners.get(&task_id).copied().unwrap_or(1);
        (lease_id, (task_id, owner))
    }

    /// For a report: mostly of a task that holds a key.
    fn running(&mut self, chance: &mut Chance) -> (Text, (Text, UserId)) {
        if chance.is(65) && !self.leases.is_empty() {
            return self.lease(chance);
        }
        (text(""), self.task(chance))
    }

    fn new_call(&mut self, chance: &mut Chance) -> Call {
        match chance.below(42) {
            0..=7 => self.new_charge(chance),
            8..=10 => {
                let (task_id, user) = self.new_task(chance);
                let charge = self.charge_of(&task_id, chance.between(1, 15), user, chance);
                let ttl_micros = chance.is(90).then(|| chance.between(1, 25 * S));
                let hold = Authorize { charge, ttl_micros };
                let request_id = self.request_id(chance, 50);
                Call::ledger(user, request_id, hold.command())
            }
            11..=13 => self.of_task(chance, (92, 50), |task_id, chance| {
                capture(task_id, chance.between(1, 12)).command()
            }),
            14 => self.of_task(chance, (92, 50), |task_id, _| void(task_id).command()),
            15 => self.of_task(chance, (15, 40), |task_id, _| refund_all(task_id).command()),
            16..=17 => self.of_task(chance, (15, 100), |task_id, chance| {
                refund(task_id, chance.between(1, 9)).command()
            }),
            18..=19 => {
                let purse = chance.of(&[Purse::Points, Purse::Points, Purse::Cash]);
                let user_id = self.user(chance);
                let credit = Credit { user_id, ..credit(purse, chance.between(1, 25)) };
                Call::ledger(user_id, self.name("request"), credit.command())
            }
            20 => {
                let user_id = self.user(chance);
                let debit = Debit { user_id, ..debit(chance.between(1, 12)) };
                Call::ledger(user_id, self.name("request"), debit.command())
            }
            21..=24 => {
                let (lease_id, (task_id, user)) = self.running(chance);
                let key_id = if lease_id.is_empty() { text("key-x") } else { text("") };
                let started = StartTask { lease_id, key_id, ..start(&task_id, &self.name("job")) };
                Call::ledger(user, String::new(), of_user(user, started))
            }
            25..=27 => self.complete(chance),
            28..=29 => self.fail(chance),
            30..=34 => self.select(chance),
            35 => {
                let (lease_id, _) = self.lease(chance);
                let ttl_micros = chance.is(80).then(|| chance.between(1, 20 * S));
                Call::keys(String::new(), Keys::Renew { lease_id, ttl_micros })
            }
            36..=39 => {
                let (lease_id, _) = self.lease(chance);
                let job = if chance.is(30) { self.name("job") } else { String::new() };
                let release = Keys::Release { lease_id, report: report(chance) };
                Call { job, ..Call::keys(String::new(), release) }
            }
            _ => self.operate(chance),
        }
    }

    fn new_charge(&mut self, chance: &mut Chance) -> Call {
        let (task_id, user) = self.new_task(chance);
        let charge = self.charge_of(&task_id, chance.between(0, 15), user, chance);
        let request_id = self.request_id(chance, 50);
        Call::ledger(user, request_id, charge.command())
    }

    fn charge_of(&mut self, task_id: &str, amount: i64, user_id: UserId, chance: &mut Chance) -> Charge {
        let select_key = chance.is(60).then(|| Box::new(asking(chance)));
        Charge { user_id, select_key, ..charge(task_id, amount) }
    }

    /// A command of a task, whose user it names or leaves to be looked up: so many percent of them of a hold, and so
    /// many with a request id.
    fn of_task(
        &mut self,
        chance: &mut Chance,
        (of_holds, with_ids): (u32, u32),
        command: impl FnOnce(&str, &mut Chance) -> Command,
    ) -> Call {
        let (task_id, user) = self.one_of(of_holds, chance);
        let request_id = self.request_id(chance, with_ids);
        let named = if chance.is(30) { UNRESOLVED } else { user };
        Call::ledger(user, request_id, of_user(named, command(&task_id, chance)))
    }

    fn complete(&mut self, chance: &mut Chance) -> Call {
        let (lease_id, (task_id, user)) = self.running(chance);
        let completed = CompleteTask {
            lease_id,
            capture_amount: chance.is(30).then(|| chance.between(1, 15)),
            cost_nano_usd: chance.is(70).then(|| chance.between(0, 5)),
            ..complete(&task_id)
        };
        let request_id = self.request_id(chance, 20);
        Call::ledger(user, request_id, of_user(user, completed))
    }

    fn fail(&mut self, chance: &mut Chance) -> Call {
        let (lease_id, (task_id, user)) = self.running(chance);
        let (no_refund, report) = (chance.is(15), Box::new(report(chance)));
        let failed = FailTask { lease_id, no_refund, report, ..fail(&task_id) };
        let request_id = self.request_id(chance, 20);
        Call::ledger(user, request_id, of_user(user, failed))
    }

    fn select(&mut self, chance: &mut Chance) -> Call {
        let (task_id, user) = self.task(chance);
        let selected = SelectKey { selection: asking(chance), ..select(&task_id, "", "") };
        let request_id = self.request_id(chance, 40);
        Call::ledger(user, request_id, of_user(user, selected))
    }

    /// What an operator does.
    fn operate(&mut self, chance: &mut Chance) -> Call {
        let account_id = chance.recent(&self.accounts, RECENT).unwrap_or(999);
        let request_id = self.request_id(chance, 50);
        let command = match chance.below(9) {
            0 => Keys::Create(self.sealing.account(chance)),
            1 => Keys::Delete { account_id, reason: text("gone") },
            2 => Keys::HearBalance { account_id, balance_nano_usd: chance.between(-5, 40) },
            3 => Keys::Update { account_id, changes: self.sealing.rotated(), reason: text("rotated") },
            _ => Keys::Update { account_id, changes: changed_account(chance), reason: text("chance") },
        };
        let is_keyed = !matches!(command, Keys::HearBalance { .. });
        Call::keys(if is_keyed { request_id } else { String::new() }, command)
    }
}

fn asking(chance: &mut Chance) -> KeySelection {
    KeySelection {
        ttl_micros: chance.is(80).then(|| chance.between(1, 20 * S)),
        estimated_cost_nano_usd: chance.is(50).then(|| chance.between(0, 10)),
        ..selection(chance.of(&["runner-1", "runner-2"]), "")
    }
}

//! The mix of calls, drawn from the seed: users by Zipf's law with little money, keys that are used again, content that
//! has changed under them.
//!
//! Callers share what they know of tasks, holds and leases, so that they get into each other's way.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::answer::{Outcome, Told};
use crate::call::{Call, Charge, Funding, Kind, Purse, Settle};
use crate::chance::{Chance, Zipf};

/// How many of the newest of each kind are remembered.
const REMEMBERED: usize = 2_048;
/// From among so many of the newest one is chosen most of the time: then callers meet.
const NEWEST: usize = 48;
/// Users whose balances no float can hold.
const RICH: i64 = 2;
/// The first odd number that an f64 cannot tell from its neighbour.
const BEYOND_FLOATS: i64 = (1 << 53) + 1;
const MODELS: [&str; 4] =
    ["fal-ai/flux/dev", "fal-ai/flux/schnell", "fal-ai/sora-2/image-to-video", "fal-ai/kokoro"];

/// Percent of all calls.
const MIX: [(u32, Kind); 15] = [
    (45, Kind::Charge),
    (5, Kind::Batch),
    (7, Kind::Authorize),
    (5, Kind::Capture),
    (3, Kind::Void),
    (12, Kind::Refund),
    (4, Kind::Credit),
    (1, Kind::Debit),
    (5, Kind::Complete),
    (3, Kind::Fail),
    (3, Kind::Select),
    (1, Kind::Start),
    (1, Kind::Renew),
    (3, Kind::Release),
    (2, Kind::Read),
];

/// A list of which the oldest are forgotten.
#[derive(Debug)]
struct Ring<T> {
    items: Vec<T>,
    next: usize,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { items: Vec::new(), next: 0 }
    }
}

impl<T: Clone> Ring<T> {
    fn push(&mut self, item: T) {
        if self.items.len() < REMEMBERED {
            self.items.push(item);
        } else {
            self.items[self.next % REMEMBERED] = item;
        }
        self.next += 1;
    }

    /// One of the newest as a rule, any at times.
    fn draw(&self, chance: &mut Chance) -> Option<T> {
        let newest = if chance.is(85) { NEWEST } else { REMEMBERED }.min(self.items.len());
        if newest == 0 {
            return None;
        }
        let back = 1 + chance.below(newest);
        Some(self.items[(self.next - back) % REMEMBERED.min(self.items.len().max(1))].clone())
    }
}

/// A task as the callers remember it.
#[derive(Clone, Debug)]
struct Known {
    user: i64,
    task: String,
    amount: i64,
}

#[derive(Debug, Default)]
struct Memory {
    calls: HashMap<Kind, Ring<Arc<Call>>>,
    charged: Ring<Known>,
    held: Ring<Known>,
    leases: Ring<(Known, String)>,
}

/// What all callers draw from.
#[derive(Debug)]
pub(crate) struct Workload {
    users: Zipf,
    count: i64,
    next: AtomicU64,
    memory: Mutex<Memory>,
}

impl Workload {
    /// So many users as the seed says, 8 to 1,000.
    pub(crate) fn new(seed: u64) -> Self {
        let mut chance = Chance::stream(seed, 1);
        let count = chance.of(&[8, 16, 40, 100, 300, 1_000]);
        Self { users: Zipf::new(count), count, next: AtomicU64::new(1), memory: Mutex::default() }
    }

    pub(crate) const fn users(&self) -> i64 {
        self.count
    }

    /// What each user begins with: little.
    pub(crate) fn opening(&self, chance: &mut Chance) -> Vec<Call> {
        let opening = (1..=self.count + RICH).map(|user| Call::Credit {
            request: format!("open-{user}"),
            user,
            amount: if user > self.count { BEYOND_FLOATS } else { chance.between(1, 400) },
            purse: Purse::Points,
            order: String::new(),
        });
        opening.collect()
    }

    /// The next call.
    pub(crate) fn draw(&self, chance: &mut Chance) -> Arc<Call> {
        let kind = chance.weighted(&MIX);
        let again = if kind != Kind::Read && chance.is(50) { self.earlier(kind, chance) } else { None };
        let call = match again {
            Some(call) if chance.is(50) => call,
            Some(call) => Arc::new(self.changed(&call, chance)),
            None => Arc::new(self.fresh(kind, chance)),
        };
        self.remember(&call);
        call
    }

    /// What an answer teaches: the leases that were given.
    pub(crate) fn learn(&self, call: &Call, outcome: &Outcome) {
        let lease = outcome.told().and_then(|told: &Told| told.lease.as_ref());
        let Some(lease) = lease.filter(|lease| lease.is_active) else { return };
        if matches!(call, Call::Renew { .. }) {
            return;
        }
        let user = call.user().unwrap_or_default();
        let known = Known { user, task: lease.task.clone(), amount: 0 };
        self.memory().leases.push((known, lease.lease.clone()));
    }

    fn earlier(&self, kind: Kind, chance: &mut Chance) -> Option<Arc<Call>> {
        self.memory().calls.get(&kind)?.draw(chance)
    }

    fn remember(&self, call: &Arc<Call>) {
        let mut memory = self.memory();
        memory.calls.entry(call.kind()).or_default().push(Arc::clone(call));
        let known =
            |charge: &Charge| Known { user: charge.user, task: charge.task.clone(), amount: charge.amount };
        match &**call {
            Call::Charge(charge) => memory.charged.push(known(charge)),
            Call::Batch { items, .. } => items.iter().for_each(|item| memory.charged.push(known(item))),
            Call::Authorize { charge, .. } => memory.held.push(known(charge)),
            _ => {}
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A request_id of its own, or none where the call can do without one.
    fn request(&self, is_required: bool, chance: &mut Chance) -> String {
        if is_required || chance.is(60) { format!("r{}", self.number()) } else { String::new() }
    }

    fn user(&self, chance: &mut Chance) -> i64 {
        match chance.below(200) {
            // Nobody has credited this one yet.
            0 => self.count + RICH + 1 + chance.between(0, 5),
            1..=5 => self.count + chance.between(1, RICH),
            _ => self.users.draw(chance),
        }
    }

    fn is_rich(&self, user: i64) -> bool {
        (self.count + 1..=self.count + RICH).contains(&user)
    }

    fn amount(&self, user: i64, chance: &mut Chance) -> i64 {
        if self.is_rich(user) {
            return chance.between(0, 499_999_999_999) * 2 + 1;
        }
        match chance.below(40) {
            0 => 0,
            1 => chance.between(100, 1_000),
            _ => chance.between(1, 40),
        }
    }

    fn charge(&self, chance: &mut Chance) -> Charge {
        let user = self.user(chance);
        Charge {
            request: self.request(false, chance),
            user,
            task: format!("t{}", self.number()),
            amount: self.amount(user, chance),
            app: chance.of(&MODELS).to_owned(),
            funding: chance.weighted(&[(8, Funding::Both), (1, Funding::Points), (1, Funding::Cash)]),
            runner: chance.is(4).then(|| format!("runner-{}", chance.below(8))),
        }
    }

    fn task(&self, chance: &mut Chance) -> Known {
        let known = self.memory().charged.draw(chance);
        known.unwrap_or_else(|| Known { user: 1, task: "nobody-made-it".to_owned(), amount: 1 })
    }

    fn hold(&self, chance: &mut Chance) -> Known {
        let known = self.memory().held.draw(chance);
        known.unwrap_or_else(|| self.task(chance))
    }

    fn lease(&self, chance: &mut Chance) -> Option<(Known, String)> {
        self.memory().leases.draw(chance)
    }

    fn fresh(&self, kind: Kind, chance: &mut Chance) -> Call {
        match kind {
            Kind::Charge => Call::Charge(self.charge(chance)),
            Kind::Batch => {
                let items = (0..chance.between(2, 8)).map(|_| self.charge(chance));
                let items = items.map(|item| Charge { runner: None, ..item }).collect();
                Call::Batch { items, atomic: chance.is(40) }
            }
            Kind::Authorize => {
                let mut charge = self.charge(chance);
                charge.amount = charge.amount.max(1);
                // Half of them expire while the run goes on, the others live on for a day.
                Call::Authorize { charge, ttl_millis: chance.of(&[0, 500, 3_000, 15_000, 0, 600_000]) }
            }
            Kind::Capture => {
                let hold = self.hold(chance);
                let amount = self.part(&hold, chance);
                Call::Capture {
                    request: self.request(false, chance),
                    user: hold.user,
                    task: hold.task,
                    amount,
                }
            }
            Kind::Void => {
                let hold = self.hold(chance);
                let reason = if chance.is(50) { String::new() } else { "changed my mind".to_owned() };
                Call::Void { request: self.request(false, chance), user: hold.user, task: hold.task, reason }
            }
            Kind::Refund => self.refund(chance),
            Kind::Credit => {
                let user = self.user(chance);
                let amount = if self.is_rich(user) { BEYOND_FLOATS } else { chance.between(50, 450) };
                let purse = if chance.is(75) { Purse::Points } else { Purse::Cash };
                let order = format!("pay-{}", self.number());
                Call::Credit { request: self.request(true, chance), user, amount, purse, order }
            }
            Kind::Debit => {
                let user = self.user(chance);
                let amount = self.amount(user, chance).max(1);
                let order = format!("out-{}", self.number());
                Call::Debit { request: self.request(true, chance), user, amount, order }
            }
            Kind::Complete | Kind::Fail => self.settle(kind, chance),
            Kind::Select | Kind::Start | Kind::Renew | Kind::Release => self.lease_call(kind, chance),
            Kind::Read => match chance.below(3) {
                0 => Call::Balance { user: self.user(chance) },
                1 => Call::Entries { user: self.user(chance) },
                _ => {
                    let known = self.task(chance);
                    Call::Task { user: known.user, task: known.task }
                }
            },
        }
    }

    /// Mostly what is there, at times more.
    fn part(&self, known: &Known, chance: &mut Chance) -> i64 {
        match chance.below(10) {
            0 => known.amount.saturating_add(chance.between(1, 5)).max(1),
            1..=4 => known.amount.max(1),
            _ => chance.between(1, known.amount.max(1)),
        }
    }

    fn refund(&self, chance: &mut Chance) -> Call {
        let known = if chance.is(80) { self.task(chance) } else { self.hold(chance) };
        let amount = chance.is(60).then(|| self.part(&known, chance));
        let request = self.request(amount.is_some(), chance);
        Call::Refund { request, user: known.user, task: known.task, amount }
    }

    fn settle(&self, kind: Kind, chance: &mut Chance) -> Call {
        let with_lease = if chance.is(40) { self.lease(chance) } else { None };
        let is_hold = with_lease.is_none() && chance.is(30);
        let (known, lease) = with_lease
            .unwrap_or_else(|| (if is_hold { self.hold(chance) } else { self.task(chance) }, String::new()));
        let capture = (is_hold && chance.is(50)).then(|| self.part(&known, chance));
        let number = self.number();
        let settle = Settle {
            request: self.request(false, chance),
            user: known.user,
            task: known.task,
            online: if chance.is(50) { format!("req-{number}") } else { String::new() },
            lease,
        };
        if kind == Kind::Complete {
            return Call::Complete { settle, cost: chance.between(0, 1_000_000_000), capture };
        }
        Call::Fail {
            settle,
            error: format!("upstream said {number}"),
            keep_charge: chance.is(10),
            http_status: chance.weighted(&[(6, 422), (1, 500), (1, 429), (2, 0)]),
        }
    }

    fn lease_call(&self, kind: Kind, chance: &mut Chance) -> Call {
        let known = match kind {
            Kind::Start if chance.is(40) => None,
            Kind::Select => None,
            _ => self.lease(chance),
        };
        match (kind, known) {
            (Kind::Renew, Some((_, lease))) => {
                Call::Renew { lease, ttl_millis: chance.between(1_000, 30_000) }
            }
            (Kind::Release, Some((_, lease))) => {
                let http_status = chance.weighted(&[(40, 200), (4, 422), (1, 500), (1, 429), (2, 0)]);
                Call::Release { lease, http_status }
            }
            (Kind::Start, known) => {
                let (known, lease) = known.unwrap_or_else(|| (self.task(chance), String::new()));
                let online = format!("req-{}", self.number());
                Call::Start { user: known.user, task: known.task, online, lease }
            }
            _ => {
                let known = self.task(chance);
                Call::Select {
                    request: self.request(false, chance),
                    user: known.user,
                    task: known.task,
                    runner: format!("runner-{}", chance.below(8)),
                    ttl_millis: chance.of(&[500, 3_000, 15_000, 40_000]),
                }
            }
        }
    }

    /// The same keys, other content.
    fn changed(&self, call: &Call, chance: &mut Chance) -> Call {
        let mut call = call.clone();
        match &mut call {
            Call::Charge(charge) | Call::Authorize { charge, .. } => change(charge, chance),
            Call::Batch { items, .. } => {
                let at = chance.below(items.len());
                change(&mut items[at], chance);
            }
            Call::Capture { amount, .. } | Call::Credit { amount, .. } | Call::Debit { amount, .. } => {
                *amount += 1;
            }
            Call::Refund { amount: Some(amount), .. } => *amount += 1,
            Call::Void { reason, .. } => reason.push_str(" again"),
            Call::Complete { cost, .. } => *cost += 1,
            Call::Fail { error, .. } => error.push('!'),
            Call::Select { runner, .. } => *runner = format!("runner-{}", 8 + chance.below(8)),
            Call::Renew { ttl_millis, .. } => *ttl_millis += 1_000,
            Call::Release { http_status, .. } => *http_status = 422,
            Call::Start { online, .. } => online.push('x'),
            Call::Refund { amount, .. } => *amount = (!chance.is(50)).then_some(1),
            Call::Balance { .. } | Call::Task { .. } | Call::Entries { .. } => {}
        }
        call
    }
}

fn change(charge: &mut Charge, chance: &mut Chance) {
    match chance.below(4) {
        0 => charge.app = "fal-ai/other".to_owned(),
        1 if charge.user > 1 => charge.user -= 1,
        _ => charge.amount += 1,
    }
}

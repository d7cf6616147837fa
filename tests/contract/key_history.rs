//! Random histories of the key pool, the same on every backend: operators, runners and callers at once, under a clock
//! that jumps both ways. The moments and the ids of accounts are scripted, so that everything must agree.

use std::collections::BTreeMap;

use scrip::keypool::{
    AccountChanges, AccountId, AccountKey, AccountStatus, AllowList, Command, NewAccount, Reseal,
};
use scrip::ledger::command::{Authorize, Charge, CompleteTask, FailTask, SelectKey, StartTask};
use scrip::ledger::{KeySelection, LeaseOutcome, Micros, Purse, Report, Text};

use crate::bench::{Bench, START, audit_log, secrets};
use crate::commands::{
    AsCommand, charge, complete, credit, expire, fail, note, one, select, selection, start, text,
};
use crate::keyed::{Answer, Item, Judge};
use crate::keys::{key, new_account};
use crate::support::model::keypool_world::{S, World as PoolWorld, sealed};
use crate::support::model::world::World;

/// What fal answers: mostly well.
const HTTP: [Option<u16>; 12] = [
    None,
    None,
    None,
    None,
    None,
    Some(200),
    Some(200),
    Some(422),
    Some(429),
    Some(401),
    Some(403),
    Some(503),
];

/// Chance from a seed: the numbers of SplitMix64.
struct Chance(u64);

impl Chance {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: i64) -> i64 {
        i64::try_from(self.number() % most.unsigned_abs()).expect("small")
    }

    fn is(&mut self, percent: i64) -> bool {
        self.below(100) < percent
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as i64)).expect("small")]
    }
}

/// What a history has named so far.
struct Script {
    chance: Chance,
    seed: u64,
    now: Micros,
    tasks: i64,
    leases: i64,
    requests: i64,
    keys: i64,
    /// The task of each lease that was given, and the keys that are stored.
    given: BTreeMap<Text, Text>,
    stored: Vec<AccountKey>,
    known: Vec<AccountId>,
    recent_leases: Vec<i64>,
    recent_tasks: Vec<i64>,
}

impl Script {
    fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            seed,
            now: START,
            tasks: 0,
            leases: 0,
            requests: 0,
            keys: 0,
            given: BTreeMap::new(),
            stored: Vec::new(),
            known: Vec::new(),
            recent_leases: Vec::new(),
            recent_tasks: Vec::new(),
        }
    }

    fn batch(&mut self, world: &World, pool: &PoolWorld) -> Vec<Item> {
        self.given =
            pool.leases.values().map(|row| (Text::clone(&row.lease_id), Text::clone(&row.task_id))).collect();
        self.recent_leases =
            recent(self.leases, |number| pool.leases.contains_key(&*format!("lease-{}-{number}", self.seed)));
        self.recent_tasks =
            recent(self.tasks, |number| world.tasks().contains_key(&*format!("task-{}-{number}", self.seed)));
        self.known = pool.accounts.keys().copied().collect();
        self.stored = pool.keys.values().filter(|key| key.sealed.is_some()).cloned().collect();
        (0..1 + self.chance.below(8)).map(|_| self.item()).collect()
    }

    /// A user who can pay, and some accounts.
    fn beginning(&mut self) -> Vec<Item> {
        let credit = one(&format!("credit-{}", self.seed), credit(Purse::Points, 10_000));
        let accounts = (0..4).map(|_| Item::Pool(text(""), Command::Create(self.new_account())));
        std::iter::once(Item::Ledger(credit)).chain(accounts).collect()
    }

    fn item(&mut self) -> Item {
        match self.chance.below(20) {
            0 if self.chance.is(30) => self.pool(Self::reseal),
            0 => self.pool(|script| Command::Create(script.new_account())),
            1 => self.pool(Self::update),
            2 if self.chance.is(30) => {
                self.pool(|script| Command::Delete { account_id: script.account(), reason: text("gone") })
            }
            2 => self.pool(|script| Command::HearBalance {
                account_id: script.account(),
                balance_nano_usd: script.chance.below(40) - 5,
            }),
            3 => self.pool(Self::renew),
            4..=6 => {
                self.pool(|script| Command::Release { lease_id: script.lease(), report: script.report() })
            }
            7 => self.pool(|script| Command::Expire { lease_ids: vec![script.lease(), script.lease()] }),
            _ => {
                let request_id = self.request_id();
                let command = self.command();
                let takes_none = matches!(
                    command,
                    scrip::ledger::Command::StartTask(_)
                        | scrip::ledger::Command::ExpireHold(_)
                        | scrip::ledger::Command::NoteAttempt(_)
                );
                Item::Ledger(one(if takes_none { "" } else { &request_id }, command))
            }
        }
    }

    fn pool(&mut self, command: impl FnOnce(&mut Self) -> Command) -> Item {
        let command = command(self);
        let request_id = if command.content().is_some() { self.request_id() } else { String::new() };
        Item::Pool(text(&request_id), command)
    }

    fn request_id(&mut self) -> String {
        if self.chance.is(50) {
            return String::new();
        }
        if !self.chance.is(10) {
            self.requests += 1;
        }
        format!("r-{}-{}", self.seed, self.requests)
    }

    fn account(&mut self) -> AccountId {
        let known = self.known.len() as i64;
        let number = self.chance.below(known + 1);
        usize::try_from(number).ok().and_then(|number| self.known.get(number)).copied().unwrap_or(999)
    }

    /// One of those given lately, or one that may not be there.
    fn lease(&mut self) -> Text {
        let number = match self.recent_leases.is_empty() || self.chance.is(5) {
            true => self.leases + 1,
            false => self.chance.of(&self.recent_leases),
        };
        format!("lease-{}-{number}", self.seed).into()
    }

    fn task(&mut self) -> String {
        let number = match self.recent_tasks.is_empty() || self.chance.is(5) {
            true => self.tasks + 1,
            false => self.chance.of(&self.recent_tasks),
        };
        format!("task-{}-{number}", self.seed)
    }

    fn key_id(&mut self) -> String {
        if self.chance.is(70) {
            self.keys += 1;
        }
        format!("key-{}-{}", self.seed, self.keys - self.chance.below(3))
    }

    fn workspace(&mut self) -> Text {
        text(self.chance.of(&["ws-a", "ws-b", "ws-c"]))
    }

    fn new_account(&mut self) -> NewAccount {
        let only = AllowList::new(vec!["fal-ai/flux/*".into()]);
        NewAccount {
            workspace: self.workspace(),
            billing_key: self.chance.is(30).then(|| key("billing")),
            priority: i32::try_from(self.chance.below(2)).expect("small"),
            allowed_apps: if self.chance.is(30) { only } else { AllowList::default() },
            balance_nano_usd: self.chance.is(50).then_some(30),
            max_concurrency: 5,
            ..new_account(&self.key_id(), 1)
        }
    }

    fn update(&mut self) -> Command {
        let states = [
            AccountStatus::Enabled,
            AccountStatus::Enabled,
            AccountStatus::Enabled,
            AccountStatus::Draining,
            AccountStatus::Disabled,
        ];
        let changes = AccountChanges {
            status: self.chance.is(60).then(|| self.chance.of(&states)),
            workspace: self.chance.is(30).then(|| self.workspace()),
            max_concurrency: self.chance.is(30).then(|| self.chance.of(&[1, 2, 5])),
            key: self.chance.is(40).then(|| key(&self.key_id())),
            billing_key: self.chance.is(20).then(|| self.chance.is(50).then(|| key("billing-2"))),
            balance_nano_usd: self.chance.is(30).then(|| self.chance.is(50).then_some(12)),
            ..AccountChanges::default()
        };
        Command::Update { account_id: self.account(), changes, reason: text("chance") }
    }

    /// Some keys, of which some are not what was found.
    fn reseal(&mut self) -> Command {
        let mut reseals = Vec::new();
        for key in self.stored.clone() {
            let was = if self.chance.is(80) { key.sealed } else { Some(sealed("kek-0", "")) };
            if let Some(before) = was.filter(|_| self.chance.is(50)) {
                let after = sealed(self.chance.of(&["kek-1", "kek-2"]), &key.key_id);
                let (account_id, purpose, key_id) = (key.account_id, key.purpose, key.key_id);
                reseals.push(Reseal { account_id, purpose, key_id, before, after });
            }
        }
        Command::Reseal(reseals)
    }

    fn renew(&mut self) -> Command {
        Command::Renew { lease_id: self.lease(), ttl_micros: Some(self.chance.below(900) * S) }
    }

    fn report(&mut self) -> Report {
        let outcomes = [
            None,
            Some(LeaseOutcome::Succeeded),
            Some(LeaseOutcome::Succeeded),
            Some(LeaseOutcome::UpstreamError),
            Some(LeaseOutcome::RunnerCanceled),
        ];
        Report {
            outcome: self.chance.of(&outcomes),
            http_status: self.chance.of(&HTTP),
            error_message: text(self.chance.of(&["", "User is locked", "overloaded"])),
            retry_after_micros: self.chance.is(20).then_some(3 * S),
            latency_micros: self.chance.is(50).then(|| self.chance.below(20) * S),
        }
    }

    fn selection(&mut self) -> KeySelection {
        self.leases += 1;
        KeySelection {
            ttl_micros: self.chance.is(50).then(|| self.chance.below(60) * S + 1),
            estimated_cost_nano_usd: self.chance.is(50).then_some(10),
            ..selection(
                self.chance.of(&["runner-1", "runner-2"]),
                &format!("lease-{}-{}", self.seed, self.leases),
            )
        }
    }

    /// A lease or none, and mostly its task.
    fn run(&mut self) -> (Text, String) {
        let lease_id = if self.chance.is(80) { self.lease() } else { text("") };
        let own = self.given.get(&lease_id).map(ToString::to_string);
        let task_id = own.filter(|_| self.chance.is(95)).unwrap_or_else(|| self.task());
        (lease_id, task_id)
    }

    fn command(&mut self) -> scrip::ledger::Command {
        match self.chance.below(14) {
            0..=3 => {
                self.tasks += 1;
                let task_id = format!("task-{}-{}", self.seed, self.tasks);
                let charge = Charge {
                    select_key: self.chance.is(80).then(|| Box::new(self.selection())),
                    ..charge(&task_id, self.chance.below(5))
                };
                if self.chance.is(60) {
                    return charge.command();
                }
                let charge = Charge { amount: charge.amount + 1, ..charge };
                Authorize { charge, ttl_micros: Some(self.chance.below(60) * S + 1) }.command()
            }
            4..=6 => SelectKey { selection: self.selection(), ..select(&self.task(), "", "") }.command(),
            7..=9 => {
                let (lease_id, task_id) = self.run();
                let key_id = if lease_id.is_empty() { text("key-x") } else { text("") };
                let job = format!("job-{}", self.chance.below(3));
                StartTask { lease_id, key_id, ..start(&task_id, &job) }.command()
            }
            10 => {
                let (lease_id, task_id) = self.run();
                CompleteTask { lease_id, ..complete(&task_id) }.command()
            }
            11 => {
                let (lease_id, task_id) = self.run();
                FailTask { lease_id, report: Box::new(self.report()), ..fail(&task_id) }.command()
            }
            12 => expire(&self.task()).command(),
            _ => note(&self.task(), &format!("late-{}", self.chance.below(3)), "key-n", &self.lease())
                .command(),
        }
    }
}

/// The newest numbers of those that are there.
fn recent(last: i64, is_there: impl Fn(&i64) -> bool) -> Vec<i64> {
    (0..=last).rev().filter(is_there).take(12).collect()
}

/// What came of an item, a word for each outcome.
fn kinds(answer: &Answer) -> Vec<String> {
    let first_word = |debug: String| debug.split([' ', '(']).next().unwrap_or_default().to_owned();
    match answer {
        Answer::Pool(Ok(done)) => vec![first_word(format!("{done:?}"))],
        Answer::Pool(Err(rejection)) => vec![first_word(format!("{rejection:?}"))],
        Answer::Ledger(outcomes) => outcomes
            .iter()
            .map(|outcome| match outcome {
                Ok(done) if done.late => "late".to_owned(),
                Ok(done) if done.replayed => "replayed".to_owned(),
                Ok(_) => "done".to_owned(),
                Err(rejection) => first_word(format!("{rejection:?}")),
            })
            .collect(),
    }
}

pub(crate) async fn random_histories_of_keys_come_out_as_in_memory(bench: &mut Bench) {
    let mut memory = Bench::model().await.expect("memory is always there");
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    let mut met: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 1..=4 {
        let mut script = Script::new(seed);
        for number in 0..130 {
            let jump = script.chance.of(&[0, 1, S, 5 * S, 40 * S, -2 * S]);
            script.now = script.now.plus(jump);
            let items = match number {
                0 => script.beginning(),
                _ => script.batch(&memory.shadow, &memory.pool),
            };
            let seen = script.chance.number();
            found.clear();
            expected.clear();
            for (bench, answers) in [(&mut *bench, &mut found), (&mut memory, &mut expected)] {
                let first_id = bench.pool.accounts.keys().next_back().map_or(1, |last| last + 1);
                let mut judge = Judge::seeing(&bench.pool, script.now, seen);
                judge.scripted = Some((script.now, first_id));
                answers.extend(bench.judged(&judge, &items).await);
            }
            assert_eq!(found, expected, "seed {seed}, batch {number}: {items:?}");
            found.iter().flat_map(kinds).for_each(|kind| *met.entry(kind).or_default() += 1);
        }
    }
    assert_eq!(bench.pool, memory.pool);
    for kind in [
        "done",
        "replayed",
        "late",
        "Renewed",
        "Released",
        "Expired",
        "Account",
        "NoKeyAvailable",
        "LeaseNotFound",
        "LeaseExpired",
        "LeaseSuperseded",
        "AccountExists",
        "AccountNotFound",
        "TaskStateConflict",
        "RequestIdReused",
    ] {
        assert!(met.contains_key(kind), "{kind} was never met: {met:?}");
    }
    let leases = memory.pool.leases.len();
    let superseded = memory.pool.leases.values().filter(|lease| lease.fence > 1).count();
    assert!(
        leases > 100 && superseded > 20,
        "too little to compare, {met:?}: {leases} leases, {superseded} of a second fence"
    );
    let (stored, remembered) = (bench.stored().await, memory.stored().await);
    assert_eq!(stored.leases, remembered.leases);
    assert_eq!(stored.pool, remembered.pool);
    assert_eq!(secrets(bench.reader.as_ref()).await, secrets(memory.reader.as_ref()).await);
    assert_eq!(audit_log(bench.reader.as_ref()).await, audit_log(memory.reader.as_ref()).await);
}

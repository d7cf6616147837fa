//! A small run as it should be: what callers were told and what the tables hold, made side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answer::{Balance, Entry, LeaseTold, Outcome, Refused, TaskTold, Told};
use crate::books::{Account, Attempt, Books, Lease, Points, Request, Row, Task, User};
use crate::call::{Call, Charge, Funding, Purse, Settle, input_of};
use crate::checks::{Findings, check};
use crate::history::Op;

/// A history and its tables. Operations are a second apart, each takes half a second.
#[derive(Clone, Default)]
pub(crate) struct Case {
    pub(crate) history: Vec<Op>,
    pub(crate) books: Books,
    pub(crate) is_resolved: bool,
}

pub(crate) const USER: i64 = 7;

pub(crate) fn charge_of(request: &str, task: &str, amount: i64) -> Charge {
    Charge {
        request: request.into(),
        user: USER,
        task: task.into(),
        amount,
        app: "model".into(),
        funding: Funding::Both,
        runner: None,
    }
}

fn settle_of(request: &str, task: &str, lease: &str) -> Settle {
    let (request, task, lease) = (request.into(), task.into(), lease.into());
    Settle { request, user: USER, task, online: String::new(), lease }
}

pub(crate) fn refused(reason: &str) -> Outcome {
    Outcome::Fail(Refused { reason: reason.into(), metadata: BTreeMap::new() })
}

pub(crate) fn unknown() -> Outcome {
    Outcome::info("Unavailable", "lost")
}

impl Case {
    /// Every kind of call, done, repeated, refused, and unknown and then resolved; nothing is wrong.
    pub(crate) fn clean() -> Self {
        let mut case = Self { is_resolved: true, ..Self::default() };
        case.books.users.push(User { id: USER, ..User::default() });
        case.books.accounts.push(Account { id: 1, workspace: "ws".into(), limit: 1, uses: 2 });
        case.credits();
        case.charges();
        case.holds();
        case.ends();
        case.leases();
        case.batches();
        case.finish();
        case
    }

    fn credits(&mut self) {
        let credit = |amount, purse| Call::Credit {
            request: format!("credit-{amount}"),
            user: USER,
            amount,
            purse,
            order: "pay".into(),
        };
        let told = self.movement(&[(Purse::Points, 1_000)], "credit", "pay", "credit-1000");
        self.send(credit(1_000, Purse::Points), Outcome::Ok(Box::new(told.clone())));
        // Repeated as it was, and with other content.
        let again = Told { replayed: true, ..told };
        self.send(credit(1_000, Purse::Points), Outcome::Ok(Box::new(again)));
        let mut other = credit(1_000, Purse::Points);
        if let Call::Credit { amount, .. } = &mut other {
            *amount = 999;
        }
        self.send(other, refused("REQUEST_ID_REUSED"));
        let told = self.movement(&[(Purse::Cash, 100)], "credit", "pay", "credit-100");
        self.send(credit(100, Purse::Cash), unknown());
        // It had happened: told when it was sent again.
        self.send(credit(100, Purse::Cash), Outcome::Ok(Box::new(Told { replayed: true, ..told })));
        let debit = |request: &str, amount| Call::Debit {
            request: request.into(),
            user: USER,
            amount,
            order: "out".into(),
        };
        let told = self.movement(&[(Purse::Points, -50)], "debit", "out", "debit-1");
        self.send(debit("debit-1", 50), Outcome::Ok(Box::new(told)));
        // Refused for good, twice the same.
        self.request("debit-2", "debit", None, r#"{"reason":"INSUFFICIENT_BALANCE"}"#);
        self.send(debit("debit-2", 9_999), refused("INSUFFICIENT_BALANCE"));
        self.send(debit("debit-2", 9_999), refused("INSUFFICIENT_BALANCE"));
        self.send(Call::Balance { user: USER }, Outcome::Ok(Box::new(self.told())));
        let entries = Told { entries: self.entries_newest_first(), ..Told::default() };
        self.send(Call::Entries { user: USER }, Outcome::Ok(Box::new(entries)));
    }

    fn charges(&mut self) {
        let told = self.charge("", "t1", &[(Purse::Points, -30)]);
        self.send(Call::Charge(charge_of("", "t1", 30)), Outcome::Ok(Box::new(told.clone())));
        let again = Told { replayed: true, balance: self.told().balance, ..told };
        self.send(Call::Charge(charge_of("", "t1", 30)), Outcome::Ok(Box::new(again)));
        self.send(Call::Charge(charge_of("", "t1", 31)), refused("TASK_ALREADY_CHARGED"));
        self.send(Call::Charge(charge_of("", "t-never", 99_999)), refused("INSUFFICIENT_BALANCE"));
        // Out of both purses.
        let told = self.charge("both", "t2", &[(Purse::Points, -20), (Purse::Cash, -10)]);
        self.send(Call::Charge(charge_of("both", "t2", 30)), Outcome::Ok(Box::new(told)));
        let refund = |request: &str, amount| Call::Refund {
            request: request.into(),
            user: USER,
            task: "t2".into(),
            amount,
        };
        let told = self.refund("r1", "t2", &[(Purse::Cash, 5)]);
        self.send(refund("r1", Some(5)), Outcome::Ok(Box::new(told)));
        self.request("r2", "refund", None, r#"{"reason":"REFUND_EXCEEDS_CHARGE"}"#);
        self.send(refund("r2", Some(500)), refused("REFUND_EXCEEDS_CHARGE"));
        let told = self.refund("", "t2", &[(Purse::Cash, 5), (Purse::Points, 20)]);
        self.send(refund("", None), Outcome::Ok(Box::new(told.clone())));
        self.send(refund("", None), Outcome::Ok(Box::new(Told { replayed: true, ..told })));
    }

    fn holds(&mut self) {
        for (task, amount) in [("h1", 40), ("h2", 25), ("h3", 10)] {
            let told = self.hold(task, amount);
            let charge = charge_of("", task, amount);
            self.send(Call::Authorize { charge, ttl_millis: 0 }, Outcome::Ok(Box::new(told)));
        }
        let capture = |amount| Call::Capture { request: "c1".into(), user: USER, task: "h1".into(), amount };
        let told = self.capture("c1", "h1", 35);
        self.send(capture(35), Outcome::Ok(Box::new(told)));
        self.send(capture(36), refused("REQUEST_ID_REUSED"));
        let void = |task: &str| Call::Void {
            request: String::new(),
            user: USER,
            task: task.into(),
            reason: String::new(),
        };
        self.release("h2", "voided");
        let told = Told { task: self.seen("h2"), ..self.told() };
        self.send(void("h2"), Outcome::Ok(Box::new(told)));
        self.release("h3", "expired");
        self.send(void("h3"), refused("HOLD_EXPIRED"));
    }

    fn ends(&mut self) {
        let complete =
            |task: &str, capture| Call::Complete { settle: settle_of("", task, ""), cost: 5, capture };
        let start = |online: &str| Call::Start {
            user: USER,
            task: "t1".into(),
            online: online.into(),
            lease: String::new(),
        };
        for (attempt, online) in [(1, "req-1"), (2, "req-2")] {
            let (task, online) = ("t1".to_owned(), online.to_owned());
            self.books.attempts.push(Attempt { task, attempt, online: online.clone() });
            let told = Told { task: self.seen("t1"), ..Told::default() };
            self.send(start(&online), Outcome::Ok(Box::new(told)));
        }
        let row = self.task("t1");
        (row.status, row.cost) = ("completed".into(), 5);
        let told = Told { task: self.seen("t1"), ..self.told() };
        self.send(complete("t1", None), Outcome::Ok(Box::new(told)));
        let told = self.charge("", "t3", &[(Purse::Points, -12)]);
        self.send(Call::Charge(charge_of("", "t3", 12)), Outcome::Ok(Box::new(told)));
        let told = self.refund("", "t3", &[(Purse::Points, 12)]);
        let row = self.task("t3");
        (row.status, row.error) = ("failed".into(), "e".into());
        let fail = Call::Fail {
            settle: settle_of("", "t3", ""),
            error: "e".into(),
            keep_charge: false,
            http_status: 0,
        };
        self.send(fail, Outcome::Ok(Box::new(told)));
        let told = Told { task: self.seen("t3"), late: true, ..self.told() };
        self.send(complete("t3", None), Outcome::Ok(Box::new(told)));
        let told = self.hold("h4", 8);
        let charge = charge_of("", "h4", 8);
        self.send(Call::Authorize { charge, ttl_millis: 0 }, Outcome::Ok(Box::new(told)));
        let told = self.capture("", "h4", 8);
        let row = self.task("h4");
        (row.status, row.cost) = ("completed".into(), 5);
        self.send(complete("h4", Some(8)), Outcome::Ok(Box::new(told)));
    }

    fn leases(&mut self) {
        for (fence, runner) in [(1, "one"), (2, "two")] {
            let row = Lease {
                lease: format!("lease-{fence}"),
                account: 1,
                key: "key".into(),
                runner: runner.into(),
                task: "t1".into(),
                fence,
                acquired: fence * 100,
                released: fence * 100 + 100,
            };
            let lease = Some(lease_told(&row));
            self.books.leases.push(row);
            let request = format!("s{fence}");
            self.request(&request, "select_key", None, "");
            let select =
                Call::Select { request, user: USER, task: "t1".into(), runner: runner.into(), ttl_millis: 0 };
            self.send(select, Outcome::Ok(Box::new(Told { lease: lease.clone(), ..Told::default() })));
            let release = Call::Release { lease: format!("lease-{fence}"), http_status: 200 };
            self.send(release, Outcome::Ok(Box::new(Told { lease, ..Told::default() })));
        }
    }

    fn batches(&mut self) {
        let items = vec![charge_of("b1", "t5", 3), charge_of("", "t6", 4)];
        let each = vec![
            Outcome::Ok(Box::new(self.charge("b1", "t5", &[(Purse::Points, -3)]))),
            Outcome::Ok(Box::new(self.charge("", "t6", &[(Purse::Points, -4)]))),
        ];
        self.send(Call::Batch { items, atomic: true }, Outcome::Each(each));
        let items = vec![charge_of("b2", "t7", 3), charge_of("b3", "t8", 99_999)];
        let each = vec![refused("BATCH_ABORTED"), refused("INSUFFICIENT_BALANCE")];
        self.send(Call::Batch { items, atomic: true }, Outcome::Each(each));
    }

    /// The users' figures as the rows have made them.
    pub(crate) fn finish(&mut self) {
        self.books.tasks.sort_by(|one, other| one.task.cmp(&other.task));
        self.books.requests.sort_by(|one, other| one.request.cmp(&other.request));
        let head = self.books.ledger.last().map(|row| row.hash.clone()).unwrap_or_default();
        self.books.users[0].head = head;
    }

    pub(crate) fn send(&mut self, call: Call, outcome: Outcome) -> usize {
        let op = self.history.len() as u64;
        let begun = op * 1_000_000;
        let end = Some((begun + 500_000, outcome));
        self.history.push(Op { op, client: 1, replica: 0, call: Arc::new(call), begun, end });
        self.history.len() - 1
    }

    /// What was found, by rule.
    pub(crate) fn found(&self) -> Findings {
        let mut found = Findings::default();
        check(&self.history, &self.books, self.is_resolved, &mut found);
        found
    }

    /// Writes entries as the service does: the user's row, the ledger, the twins, the record.
    pub(crate) fn movement(
        &mut self,
        amounts: &[(Purse, i64)],
        operation: &str,
        order: &str,
        request: &str,
    ) -> Told {
        let mut entries = Vec::new();
        for &(purse, amount) in amounts {
            entries.push(self.entry(purse, amount, operation, order, request));
        }
        if !request.is_empty() {
            let range = entries.first().map(|first| (first.seq, entries.len() as i64));
            self.request(request, operation, range, "");
        }
        Told { entries, ..self.told() }
    }

    fn entry(&mut self, purse: Purse, amount: i64, operation: &str, order: &str, request: &str) -> Entry {
        let user = &mut self.books.users[0];
        let balance = if purse == Purse::Points { &mut user.points } else { &mut user.cash };
        let before = *balance;
        *balance += amount;
        user.seq += 1;
        let (source, kind) = match operation {
            "charge" | "capture" => ("consume", 1),
            "refund" => ("refund", 0),
            "debit" => ("system", 1),
            _ => ("recharge", 0),
        };
        let entry = Entry {
            user: USER,
            seq: user.seq,
            purse,
            amount,
            before,
            after: before + amount,
            operation: operation.into(),
            source: source.into(),
            order: order.into(),
            title: "title".into(),
            at: user.seq * 10,
        };
        let hash = format!("hash-{}", user.seq);
        self.books.ledger.push(Row { entry: entry.clone(), request: request.into(), hash, kind });
        if purse == Purse::Points {
            self.books.points.push(Points {
                user: USER,
                seq: entry.seq,
                points: amount,
                before,
                after: entry.after,
                order: order.into(),
                source: source.into(),
                at: entry.at,
            });
        }
        entry
    }

    pub(crate) fn request(&mut self, request: &str, method: &str, range: Option<(i64, i64)>, refusal: &str) {
        let (first, count) = range.unwrap_or_default();
        let (request, method, refusal) = (request.into(), method.into(), refusal.into());
        self.books.requests.push(Request { user: USER, request, method, first, count, refusal });
    }

    /// The balance as it is now.
    pub(crate) fn told(&self) -> Told {
        let user = &self.books.users[0];
        let total = user.points + user.cash;
        let balance = Balance {
            user: USER,
            points: user.points,
            cash: user.cash,
            points_held: user.points_held,
            cash_held: user.cash_held,
            available: total - user.points_held - user.cash_held,
            total,
            seq: user.seq,
        };
        Told { balance: Some(balance), ..Told::default() }
    }

    fn entries_newest_first(&self) -> Vec<Entry> {
        self.books.ledger.iter().rev().map(|row| row.entry.clone()).collect()
    }

    pub(crate) fn task(&mut self, task: &str) -> &mut Task {
        self.books.tasks.iter_mut().find(|row| row.task == task).unwrap()
    }

    fn seen(&mut self, task: &str) -> Option<TaskTold> {
        let row = self.task(task);
        Some(TaskTold {
            task: row.task.clone(),
            user: row.user,
            status: row.status.clone(),
            app: row.app.clone(),
            money: row.money,
            refunded: row.refunded.0 + row.refunded.1,
            held: row.held.0 + row.held.1,
        })
    }

    fn new_task(&mut self, task: &str) -> &mut Task {
        self.books.tasks.push(Task {
            task: task.into(),
            user: USER,
            status: "pending".into(),
            app: "model".into(),
            input: input_of(task),
            cost: -1,
            ..Task::default()
        });
        self.books.tasks.last_mut().unwrap()
    }

    pub(crate) fn charge(&mut self, request: &str, task: &str, amounts: &[(Purse, i64)]) -> Told {
        let of = |which| amounts.iter().filter(|(purse, _)| *purse == which).map(|(_, amount)| -amount).sum();
        let charged: (i64, i64) = (of(Purse::Points), of(Purse::Cash));
        let row = self.new_task(task);
        (row.charged, row.money) = (charged, charged.0 + charged.1);
        let told = self.movement(amounts, "charge", task, request);
        Told { task: self.seen(task), ..told }
    }

    pub(crate) fn refund(&mut self, request: &str, task: &str, amounts: &[(Purse, i64)]) -> Told {
        for (purse, amount) in amounts {
            let refunded = &mut self.task(task).refunded;
            *(if *purse == Purse::Points { &mut refunded.0 } else { &mut refunded.1 }) += amount;
        }
        let told = self.movement(amounts, "refund", task, request);
        Told { task: self.seen(task), ..told }
    }

    pub(crate) fn hold(&mut self, task: &str, amount: i64) -> Told {
        let row = self.new_task(task);
        (row.held, row.authorized, row.hold) = ((amount, 0), (amount, 0), "open".into());
        self.books.users[0].points_held += amount;
        Told { task: self.seen(task), ..self.told() }
    }

    fn release(&mut self, task: &str, to: &str) {
        let row = self.task(task);
        let held = row.held.0;
        (row.held, row.hold, row.status) = ((0, 0), to.into(), "canceled".into());
        self.books.users[0].points_held -= held;
    }

    fn capture(&mut self, request: &str, task: &str, amount: i64) -> Told {
        self.release(task, "captured");
        let row = self.task(task);
        (row.charged, row.money, row.status) = ((amount, 0), amount, "pending".into());
        let told = self.movement(&[(Purse::Points, -amount)], "capture", task, request);
        Told { task: self.seen(task), ..told }
    }
}

pub(crate) fn lease_told(row: &Lease) -> LeaseTold {
    LeaseTold {
        lease: row.lease.clone(),
        account: row.account,
        key: row.key.clone(),
        task: row.task.clone(),
        runner: row.runner.clone(),
        fence: row.fence,
        is_active: true,
    }
}

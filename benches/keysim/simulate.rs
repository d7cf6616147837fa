//! One policy in one cell, event by event, in virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::measure::Measures;
use super::policy::{Grant, Policy, Truth};
use super::random::Random;
use super::scenario::{Fault, S, Scenario};
use super::upstream::{Answer, Input, Job, Upstream};

/// How long a task waits for a key.
const PATIENCE: i64 = 60 * S;
/// How often a task is tried. Another account is tried at once after a refused key or a lock (401, 403); after a 429 or
/// an upstream error the runner waits first, 1 s and twice as long each time: together as long as it waits for a key.
const TRIES: u32 = 7;
/// By when all tasks must have ended after the last came.
const DRAIN: i64 = 7_200 * S;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    /// A task that failed is tried again.
    Retry(u64),
    /// The job ends at fal.
    End(u64),
    /// Its runner dies.
    Die(u64),
    /// A report of it arrives.
    Report(u64),
    /// Its runner says that fal has taken it.
    Taken(u64),
    Renew(u64),
    Refresh(usize),
    /// The truth changes.
    Edge,
    Sample,
}

/// A job on an account.
struct Attempt {
    job: Job,
    grant: Grant,
    answer: Answer,
    is_running: bool,
    renewed: i64,
    /// Reports still to come, and whether one has come.
    reports: u8,
    is_judged: bool,
}

struct Waiting {
    job: Job,
    since: i64,
    idle_since: i64,
}

/// Runs one policy in one cell.
pub fn simulate(upstream: &Upstream, policy: &mut dyn Policy) -> Measures {
    let mut run = Run::new(upstream, policy);
    run.plan();
    while let Some(Reverse((now, _, event))) = run.queue.pop() {
        run.pass(now);
        run.happen(event);
        let is_over = now >= upstream.scenario.end() && run.unsettled == 0;
        if is_over || now >= upstream.scenario.end() + DRAIN {
            break;
        }
    }
    run.measures
}

struct Run<'a> {
    upstream: &'a Upstream,
    policy: &'a mut dyn Policy,
    measures: Measures,
    queue: BinaryHeap<Reverse<(i64, u64, Event)>>,
    events: u64,
    now: i64,
    jobs: u64,
    /// Tasks that have come and not ended.
    unsettled: u64,
    retries: BTreeMap<u64, Job>,
    attempts: BTreeMap<u64, Attempt>,
    started: u64,
    running: Vec<u32>,
    waiting: Vec<VecDeque<Waiting>>,
    /// Slots free of accounts that are not down, and for how long there was one at least.
    free: i64,
    idle: i64,
    random: Random,
}

impl<'a> Run<'a> {
    fn new(upstream: &'a Upstream, policy: &'a mut dyn Policy) -> Self {
        let scenario = &upstream.scenario;
        let mut run = Self {
            measures: Measures::new(upstream),
            queue: BinaryHeap::new(),
            events: 0,
            now: 0,
            jobs: 0,
            unsettled: 0,
            retries: BTreeMap::new(),
            attempts: BTreeMap::new(),
            started: 0,
            running: vec![0; upstream.accounts.len()],
            waiting: (0..scenario.replicas).map(|_| VecDeque::new()).collect(),
            free: 0,
            idle: 0,
            random: Random::of(scenario.seed, 5, 0),
            upstream,
            policy,
        };
        run.count_free();
        run
    }

    fn scenario(&self) -> &'a Scenario {
        &self.upstream.scenario
    }

    fn plan(&mut self) {
        let replicas = self.scenario().replicas;
        for replica in 0..replicas {
            // Replicas do not refresh in step.
            self.at(S * replica as i64 / replicas as i64, Event::Refresh(replica));
        }
        for edge in self.upstream.edges() {
            self.at(edge, Event::Edge);
        }
        self.at(self.scenario().warm(), Event::Sample);
        self.at(1, Event::Arrive);
    }

    fn at(&mut self, time: i64, event: Event) {
        self.events += 1;
        self.queue.push(Reverse((time, self.events, event)));
    }

    fn pass(&mut self, now: i64) {
        if self.free > 0 {
            self.idle += now - self.now;
        }
        self.now = now;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Retry(job) => {
                if let Some(job) = self.retries.remove(&job) {
                    self.seek(job, self.now, self.idle);
                }
            }
            Event::End(attempt) => self.end(attempt),
            Event::Die(attempt) => self.die(attempt),
            Event::Report(attempt) => self.report(attempt),
            Event::Taken(attempt) => self.taken(attempt),
            Event::Renew(attempt) => self.renew(attempt),
            Event::Refresh(replica) => {
                self.policy.refresh(replica, self.now, self.upstream);
                self.wake(replica);
                self.at(self.now + S, Event::Refresh(replica));
            }
            Event::Edge => {
                self.count_free();
                (0..self.waiting.len()).for_each(|replica| self.wake(replica));
            }
            Event::Sample => {
                self.measures.sample(self.upstream, &self.running);
                if self.now + S < self.scenario().end() {
                    self.at(self.now + S, Event::Sample);
                }
            }
        }
    }

    fn count_free(&mut self) {
        let accounts = self.upstream.accounts.iter().zip(&self.running).enumerate();
        let up = accounts.filter(|(at, _)| !self.upstream.is_down(*at, self.now));
        self.free = up.map(|(_, (account, running))| i64::from(account.limit) - i64::from(*running)).sum();
    }

    /// One job more, or less, on an account.
    fn load(&mut self, account: usize, more: bool) {
        let by = if more { 1 } else { -1 };
        self.running[account] = self.running[account].saturating_add_signed(by);
        if !self.upstream.is_down(account, self.now) {
            self.free -= i64::from(by);
        }
    }

    fn arrive(&mut self) {
        let scenario = self.scenario();
        let mut random = Random::of(scenario.seed, 6, self.jobs);
        let (mu, sigma) = scenario.jobs.lognormal();
        let is_poison = scenario.fault == Fault::Poison && self.is_in_fault() && random.chance(0.1);
        let input = match (is_poison, random.chance(0.5)) {
            (false, _) => Input::Good,
            (true, true) => Input::Refused,
            (true, false) => Input::Breaks,
        };
        let job = Job {
            id: self.jobs,
            arrive: self.now,
            service: (random.lognormal(mu, sigma) * S as f64) as i64,
            input,
            attempt: 0,
            last_account: None,
        };
        self.jobs += 1;
        let capacity = f64::from(self.upstream.slots()) / scenario.jobs.mean();
        let gap = random.gap(capacity * f64::from(scenario.load) / 1_000.0);
        if self.now + gap < scenario.end() {
            self.at(self.now + gap, Event::Arrive);
        }
        self.unsettled += 1;
        self.seek(job, self.now, self.idle);
    }

    /// Asks for a key, behind those of the same replica who wait already.
    fn seek(&mut self, job: Job, since: i64, idle_since: i64) {
        let replica = if self.policy.sees_all() { 0 } else { self.random.below(self.waiting.len()) };
        let waiting = Waiting { job, since, idle_since };
        // Who tries again has waited before.
        if job.attempt > 0 {
            self.waiting[replica].push_front(waiting);
        } else {
            self.waiting[replica].push_back(waiting);
        }
        self.wake(replica);
    }

    /// Serves those who wait at a replica, first come first served, as far as it has keys.
    fn wake(&mut self, replica: usize) {
        while let Some(head) = self.waiting[replica].front() {
            let (job, since, idle_since) = (head.job, head.since, head.idle_since);
            let has_given_up = self.now - since > PATIENCE;
            let truth = Truth { upstream: self.upstream, running: &self.running };
            let grant = if has_given_up { None } else { self.policy.select(replica, &job, self.now, &truth) };
            if grant.is_none() && !has_given_up {
                return;
            }
            self.waiting[replica].pop_front();
            if self.counts(&job) {
                self.measures.idle_waits.push(self.idle - idle_since);
                self.measures.refused += u64::from(has_given_up);
            }
            match grant {
                Some(grant) => self.start(job, grant),
                None => self.finish(&job, false),
            }
        }
    }

    fn start(&mut self, job: Job, grant: Grant) {
        let (account, now) = (grant.account, self.now);
        self.measures.given(self.upstream, account, grant.is_probe, now);
        let is_over_limit = self.running[account] >= self.upstream.accounts[account].limit;
        self.measures.violations += u64::from(is_over_limit);
        self.load(account, true);
        let answer = self.upstream.answer(&job, account, now, is_over_limit);
        let is_heard = self.policy.is_shared();
        let is_trial = grant.is_probe && answer.is_success();
        let attempt =
            Attempt { job, grant, answer, is_running: true, renewed: now, reports: 0, is_judged: false };
        self.started += 1;
        self.attempts.insert(self.started, attempt);
        let mut random = Random::of(self.scenario().seed, 7, job.id ^ (u64::from(job.attempt) << 48));
        if self.scenario().fault == Fault::Crash && self.is_in_fault() && random.chance(0.02) {
            self.at(now + random.between(1, answer.after), Event::Die(self.started));
        } else {
            self.at(now + answer.after, Event::End(self.started));
        }
        // StartTask says something new of a probe alone.
        if is_trial {
            self.at(now + answer.after.min(S / 2), Event::Taken(self.started));
        }
        if is_heard {
            self.at(now + self.scenario().jobs.ttl() / 3, Event::Renew(self.started));
        }
    }

    fn is_in_fault(&self) -> bool {
        (self.scenario().fault_start()..self.scenario().fault_end()).contains(&self.now)
    }

    fn end(&mut self, id: u64) {
        let is_odd = self.scenario().fault == Fault::Reports && self.is_in_fault() && self.policy.is_shared();
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let job = attempt.job;
        let account = attempt.grant.account;
        let mut random = Random::of(self.upstream.scenario.seed, 8, job.id ^ (u64::from(job.attempt) << 48));
        let (comes_twice, is_late) = (is_odd && random.chance(0.1), is_odd && random.chance(0.1));
        attempt.is_running = false;
        attempt.reports = 1 + u8::from(comes_twice);
        self.load(account, false);
        let delay = if is_late { random.between(5 * S, 60 * S) } else { 0 };
        self.at(self.now + delay, Event::Report(id));
        if comes_twice {
            self.at(self.now + random.between(1, 20 * S), Event::Report(id));
        }
    }

    /// The slot is lost for as long as the policy believes in the runner; the task is a failure.
    fn die(&mut self, id: u64) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        self.load(attempt.grant.account, false);
        let rest = (self.scenario().end() - self.now).max(0);
        let slot_back = self
            .policy
            .crash_recovery()
            .map_or(rest, |ttl| (attempt.renewed + ttl - self.now).clamp(0, rest));
        self.measures.leaked_slot_micros += slot_back;
        self.finish(&attempt.job, false);
    }

    fn taken(&mut self, id: u64) {
        let replica = self.random.below(self.waiting.len());
        let Some(attempt) = self.attempts.get(&id).filter(|attempt| attempt.is_running) else { return };
        let rotation = self.policy.taken(replica, &attempt.grant, self.now);
        self.measures.rotated(self.upstream, rotation, self.now);
        self.wake(replica);
    }

    fn renew(&mut self, id: u64) {
        let replica = self.random.below(self.waiting.len());
        let Some(attempt) = self.attempts.get_mut(&id).filter(|attempt| attempt.is_running) else { return };
        attempt.renewed = self.now;
        let rotation = self.policy.renew(replica, &attempt.grant, self.now);
        self.measures.rotated(self.upstream, rotation, self.now);
        self.at(self.now + self.scenario().jobs.ttl() / 3, Event::Renew(id));
    }

    fn report(&mut self, id: u64) {
        let Some(mut attempt) = self.attempts.remove(&id) else { return };
        let is_shared = self.policy.is_shared();
        let replica = if is_shared { self.random.below(self.waiting.len()) } else { attempt.grant.replica };
        attempt.reports -= 1;
        let (answer, account, is_last) = (attempt.answer, attempt.grant.account, attempt.reports == 0);
        let rotation = self.policy.report(replica, &attempt.grant, &answer, self.now, is_last);
        self.measures.reported(self.upstream, account, &answer, rotation, self.now);
        let mut job = attempt.job;
        if !attempt.is_judged {
            job.attempt += 1;
            job.last_account = Some(account);
            if answer.is_worth_a_retry() && job.attempt < TRIES {
                let pause = if answer.status >= 429 { S << (job.attempt - 1) } else { 0 };
                self.retries.insert(job.id, job);
                self.at(self.now + pause, Event::Retry(job.id));
            } else {
                self.finish(&job, answer.is_success());
            }
        }
        if !is_last {
            attempt.is_judged = true;
            self.attempts.insert(id, attempt);
        }
        self.wake(replica);
    }

    /// Whether a task is measured.
    fn counts(&self, job: &Job) -> bool {
        job.arrive >= self.scenario().warm()
    }

    fn finish(&mut self, job: &Job, succeeded: bool) {
        self.unsettled -= 1;
        if self.counts(job) {
            self.measures.tasks += 1;
            self.measures.succeeded += u64::from(succeeded);
        }
    }
}

//! The merge of tasks and billing events, both sorted by request id.
//!
//! A task comes at the least of its request ids, before any event of that id; its later ids wait until the streams
//! reach them. So a task of one attempt is open for one step, and only tasks of several attempts are kept, until both
//! streams have passed their last id. The events of one request are gathered before they are given to its task.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::{Disorder, Event, Micros, Scope, Task, Text};

/// What the audit must be handed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The next task, or the news that there is none.
    Task,
    /// The next billing event, or the news that there is none.
    Event,
    /// Neither: both streams have ended.
    Nothing,
}

/// What fal billed: events summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Billing {
    pub(super) events: u64,
    /// In nano-USD.
    pub(super) cost: i128,
    /// Of the newest event.
    pub(super) last_time: Option<Micros>,
    /// The requests, in order.
    pub(super) requests: Vec<Text>,
    /// The same cost by workspace and model.
    pub(super) parts: Vec<Part>,
}

/// A share of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) workspace: usize,
    pub(super) model: Text,
    pub(super) events: u64,
    /// In nano-USD.
    pub(super) cost: i128,
}

impl Billing {
    fn add(&mut self, workspace: usize, model: &Text, time: Micros, events: u64, cost: i128) {
        self.events = self.events.saturating_add(events);
        self.cost = self.cost.saturating_add(cost);
        self.last_time = self.last_time.max(Some(time));
        let part = self.parts.iter_mut().find(|part| part.workspace == workspace && part.model == *model);
        match part {
            Some(part) => {
                part.events = part.events.saturating_add(events);
                part.cost = part.cost.saturating_add(cost);
            }
            None => {
                // Nearly every bill has one part: what waits must not hold room for more.
                self.parts.reserve_exact(1);
                self.parts.push(Part { workspace, model: Text::clone(model), events, cost });
            }
        }
    }

    fn absorb(&mut self, request_id: Text, other: Billing) {
        if let Some(time) = other.last_time {
            for part in &other.parts {
                self.add(part.workspace, &part.model, time, part.events, part.cost);
            }
            self.requests.reserve_exact(1);
            self.requests.push(request_id);
            // Events of one request come in no particular order.
            self.parts.sort_unstable_by(|one, other| {
                (one.workspace, &one.model).cmp(&(other.workspace, &other.model))
            });
        }
    }
}

/// What the merge has made of the rows so far.
#[derive(Debug)]
pub(super) enum Settled {
    /// A task with all that was billed for it.
    Task(Task, Billing),
    /// A request without a task, with what was billed for it in the period.
    Stray(Billing),
}

#[derive(Debug)]
enum Head<T> {
    Wanted,
    Row(T),
    Ended,
}

#[derive(Debug)]
struct Open {
    task: Task,
    billing: Billing,
    /// How many of its request ids still wait.
    waiting: usize,
}

/// The open tasks that have a request id: one, unless runners mixed theirs up.
#[derive(Debug)]
struct Claims {
    first: u64,
    others: Vec<u64>,
}

impl Claims {
    fn iter(&self) -> impl Iterator<Item = u64> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }
}

/// The events of one request: all of them, and those of the period.
#[derive(Debug)]
struct Group {
    request_id: Text,
    all: Billing,
    in_period: Billing,
}

/// The state of the merge.
#[derive(Debug)]
pub(super) struct Matcher {
    tasks: Head<Task>,
    events: Head<(usize, Event)>,
    newest_task: Option<(Text, Text)>,
    newest_event: Text,
    /// Boxed: nodes of a tree that grows at its end are half empty.
    open: BTreeMap<u64, Box<Open>>,
    next_open: u64,
    /// Request id → the open tasks that have it.
    waiting: BTreeMap<Text, Claims>,
    /// Models and key ids, so that open tasks share them.
    shared: BTreeSet<Text>,
    group: Option<Group>,
}

impl Matcher {
    pub(super) fn new() -> Self {
        Self {
            tasks: Head::Wanted,
            events: Head::Wanted,
            newest_task: None,
            newest_event: Text::from(""),
            open: BTreeMap::new(),
            next_open: 0,
            waiting: BTreeMap::new(),
            shared: BTreeSet::new(),
            group: None,
        }
    }

    pub(super) const fn need(&self) -> Need {
        match (&self.tasks, &self.events) {
            (Head::Wanted, _) => Need::Task,
            (_, Head::Wanted) => Need::Event,
            _ => Need::Nothing,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!((&self.tasks, &self.events), (Head::Ended, Head::Ended))
    }

    /// The event that was taken last, if it counts and nothing has been made of it yet.
    pub(super) const fn event_at_head(&self) -> Option<&(usize, Event)> {
        match &self.events {
            Head::Row(row) => Some(row),
            Head::Wanted | Head::Ended => None,
        }
    }

    /// Takes the next task, or the end of them.
    pub(super) fn task(&mut self, task: Option<Task>) -> Result<(), Disorder> {
        if !matches!(self.tasks, Head::Wanted) {
            return Err(Disorder::NotNeeded);
        }
        let Some(task) = task else {
            self.tasks = Head::Ended;
            return Ok(());
        };
        let key = task.sort_key();
        if self.newest_task.as_ref().is_some_and(|(online_id, task_id)| (&**online_id, &**task_id) >= key) {
            return Err(Disorder::Task { task_id: task.task_id });
        }
        self.newest_task = Some((key.0.into(), Text::clone(&task.task_id)));
        self.tasks = Head::Row(task);
        Ok(())
    }

    /// Takes the next event with its workspace, or the end of them; `counts` where it is not the same event again.
    pub(super) fn event(&mut self, event: Option<(usize, Event)>, counts: bool) -> Result<(), Disorder> {
        if !matches!(self.events, Head::Wanted) {
            return Err(Disorder::NotNeeded);
        }
        let Some((workspace, event)) = event else {
            self.events = Head::Ended;
            return Ok(());
        };
        if event.request_id < self.newest_event {
            return Err(Disorder::Event { request_id: event.request_id });
        }
        self.newest_event = Text::clone(&event.request_id);
        if counts {
            self.events = Head::Row((workspace, event));
        }
        Ok(())
    }

    /// Goes on as far as the rows allow, and appends what has settled.
    pub(super) fn advance(&mut self, scope: &Scope, settled: &mut Vec<Settled>) {
        loop {
            let next = match (&self.tasks, &self.events) {
                (Head::Wanted, _) | (_, Head::Wanted) => return,
                (Head::Row(task), Head::Row((_, event))) => {
                    Some(task.least_online_id().min(&*event.request_id).into())
                }
                (Head::Row(task), Head::Ended) => Some(task.least_online_id().into()),
                (Head::Ended, Head::Row((_, event))) => Some(Text::clone(&event.request_id)),
                (Head::Ended, Head::Ended) => None,
            };
            self.release(next.as_ref(), settled);
            if next.is_none() {
                return;
            }
            let task_first = match (&self.tasks, &self.events) {
                (Head::Row(task), Head::Row((_, event))) => task.least_online_id() <= &*event.request_id,
                (Head::Row(_), _) => true,
                _ => false,
            };
            if task_first {
                self.admit(settled);
            } else {
                self.gather(scope);
            }
        }
    }

    /// Closes what no later row can touch: the request, and the request ids, before `next`; all of them before `None`.
    fn release(&mut self, next: Option<&Text>, settled: &mut Vec<Settled>) {
        let is_past = |id: &Text| next.is_none_or(|next| id < next);
        if let Some(group) = self.group.take_if(|group| is_past(&group.request_id)) {
            self.give(group, settled);
        }
        while let Some(entry) = self.waiting.first_entry().filter(|entry| is_past(entry.key())) {
            for id in entry.remove().iter() {
                let Some(open) = self.open.get_mut(&id) else { continue };
                open.waiting = open.waiting.saturating_sub(1);
                if open.waiting == 0 {
                    settled.extend(self.open.remove(&id).map(|open| Settled::Task(open.task, open.billing)));
                }
            }
        }
    }

    /// Gives the events of a request to its task: where several claim it, to the one created first.
    fn give(&mut self, group: Group, settled: &mut Vec<Settled>) {
        let claims = self.waiting.get(&group.request_id).into_iter().flat_map(Claims::iter);
        let owner = claims.min_by(|one, other| self.seniority(*one).cmp(&self.seniority(*other)));
        match owner.and_then(|id| self.open.get_mut(&id)) {
            Some(open) => open.billing.absorb(group.request_id, group.all),
            None if group.in_period.events > 0 => {
                let mut stray = Billing::default();
                stray.absorb(group.request_id, group.in_period);
                settled.push(Settled::Stray(stray));
            }
            None => {}
        }
    }

    fn seniority(&self, id: u64) -> Option<(Micros, &Text)> {
        self.open.get(&id).map(|open| (open.task.create_time, &open.task.task_id))
    }

    /// Takes the task at the head of its stream.
    fn admit(&mut self, settled: &mut Vec<Settled>) {
        let Head::Row(mut task) = std::mem::replace(&mut self.tasks, Head::Wanted) else { return };
        let mut ids: Vec<Text> =
            task.attempts.iter().map(|attempt| Text::clone(&attempt.online_id)).collect();
        ids.retain(|id| !id.is_empty());
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            settled.push(Settled::Task(task, Billing::default()));
            return;
        }
        let id = self.next_open;
        self.next_open = id.saturating_add(1);
        if ids.len() > 1 {
            self.share(&mut task);
        }
        self.open.insert(id, Box::new(Open { task, billing: Billing::default(), waiting: ids.len() }));
        for online_id in ids {
            match self.waiting.entry(online_id) {
                Entry::Vacant(free) => {
                    free.insert(Claims { first: id, others: Vec::new() });
                }
                Entry::Occupied(claimed) => claimed.into_mut().others.push(id),
            }
        }
    }

    /// Makes a task that will wait share what many tasks have in common.
    fn share(&mut self, task: &mut Task) {
        let keys = task.attempts.iter_mut().map(|attempt| &mut attempt.key_id);
        for text in keys.chain([&mut task.key_id, &mut task.app_name]) {
            match self.shared.get(text) {
                Some(known) => *text = Text::clone(known),
                None => {
                    self.shared.insert(Text::clone(text));
                }
            }
        }
    }

    /// Takes the event at the head of its stream.
    fn gather(&mut self, scope: &Scope) {
        let Head::Row((workspace, event)) = std::mem::replace(&mut self.events, Head::Wanted) else { return };
        let group = self.group.get_or_insert_with(|| Group {
            request_id: event.request_id,
            all: Billing::default(),
            in_period: Billing::default(),
        });
        let cost = event.cost_nano_usd.into();
        group.all.add(workspace, &event.endpoint_id, event.time, 1, cost);
        if scope.holds(event.time) {
            group.in_period.add(workspace, &event.endpoint_id, event.time, 1, cost);
        }
    }
}

#[cfg(test)]
#[path = "matching_tests.rs"]
mod tests;

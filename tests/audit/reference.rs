//! The matching as it would be written with everything in memory and no thought of speed.

use std::collections::{BTreeMap, BTreeSet};

use scrip::audit::{Account, CostChange, Event, Fetch, Task};

use super::generate::World;

/// What the events come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The costs to record.
    pub(crate) costs: BTreeSet<CostChange>,
    /// What was billed for the tasks of the period that are shown.
    pub(crate) billed: i128,
    /// Requests of A3 and what was billed for each.
    pub(crate) strays: BTreeMap<String, i128>,
    /// What A1 holds against each other in each workspace: what was billed, and what is recorded.
    pub(crate) workspaces: BTreeMap<String, (i128, i128)>,
}

fn workspace(account: &Account) -> String {
    if account.workspace.is_empty() {
        format!("account {}", account.account_id)
    } else {
        account.workspace.to_string()
    }
}

impl World {
    fn account(&self, account_id: i64) -> &Account {
        self.accounts.iter().find(|account| account.account_id == account_id).expect("known")
    }

    fn owner_of_key(&self, key_id: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.key_ids.iter().any(|have| **have == *key_id))
    }

    fn is_complete(&self, name: &str) -> bool {
        self.accounts.iter().any(|account| workspace(account) == name && account.fetch == Fetch::Complete)
    }

    /// Whether an event came through the one account that stands for its workspace.
    fn counts(&self, event: &Event) -> bool {
        let name = workspace(self.account(event.account_id));
        let through = |fetch| {
            let of_it =
                self.accounts.iter().filter(|account| workspace(account) == name && account.fetch == fetch);
            of_it.map(|account| account.account_id).min()
        };
        through(Fetch::Complete).or(through(Fetch::Incomplete)) == Some(event.account_id)
    }

    fn task_of(&self, request_id: &str) -> Option<&Task> {
        let has = |task: &&Task| task.attempts.iter().any(|attempt| *attempt.online_id == *request_id);
        let claims = self.tasks.iter().filter(has).filter(|_| !request_id.is_empty());
        claims.min_by_key(|task| (task.create_time, task.task_id.to_string()))
    }

    fn keys(task: &Task) -> Vec<String> {
        let attempts = task.attempts.iter().rev().map(|attempt| attempt.key_id.to_string());
        std::iter::once(task.key_id.to_string()).chain(attempts).filter(|key| !key.is_empty()).collect()
    }

    fn home(&self, task: &Task) -> Option<&Account> {
        Self::keys(task).iter().find_map(|key| self.owner_of_key(key))
    }

    fn is_whole(&self, task: &Task, events: &[&Event]) -> bool {
        let keys = Self::keys(task);
        let ran_on: Vec<Option<&Account>> = if keys.is_empty() {
            self.accounts.iter().map(Some).collect()
        } else {
            keys.iter().map(|key| self.owner_of_key(key)).collect()
        };
        let billed_by = events.iter().map(|event| Some(self.account(event.account_id)));
        ran_on.into_iter().chain(billed_by).all(|of| of.is_some_and(|of| self.is_complete(&workspace(of))))
    }

    fn is_shown(&self, task: &Task) -> bool {
        match self.home(task) {
            Some(account) => account.selected,
            None => self.accounts.iter().all(|account| account.selected),
        }
    }

    fn is_due(&self, since: i64) -> bool {
        self.scope.now.0.min(self.scope.events_end.0) - since >= self.thresholds.billing_lag_micros
    }

    fn in_period(&self, time: i64) -> bool {
        (self.scope.start.0..self.scope.end.0).contains(&time)
    }

    /// What the events come to.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut outcome = Outcome::default();
        for account in self.accounts.iter().filter(|account| account.selected) {
            outcome.workspaces.insert(workspace(account), (0, 0));
        }
        let counted: Vec<&Event> = self.events.iter().filter(|event| self.counts(event)).collect();
        for task in &self.tasks {
            let of_task = |event: &&&Event| {
                self.task_of(&event.request_id).is_some_and(|of| of.task_id == task.task_id)
            };
            let events: Vec<&Event> = counted.iter().filter(of_task).copied().collect();
            self.add_task(task, &events, &mut outcome);
        }
        let stray =
            |event: &&&Event| self.task_of(&event.request_id).is_none() && self.in_period(event.time.0);
        let mut requests: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in counted.iter().filter(stray) {
            requests.entry(&event.request_id).or_default().push(event);
        }
        for (request_id, events) in requests {
            self.add_stray(request_id, &events, &mut outcome);
        }
        outcome
    }

    fn add_task(&self, task: &Task, events: &[&Event], outcome: &mut Outcome) {
        let sum: i128 = events.iter().map(|event| i128::from(event.cost_nano_usd)).sum();
        let created = task.create_time.0;
        let reached = self.scope.events_start.0 <= created && created < self.scope.end.0;
        let whole = reached && self.is_shown(task) && self.is_whole(task, events);
        let ended = task.complete_time.unwrap_or(task.create_time);
        let falls = task.billed_cost_nano_usd.is_some_and(|recorded| i128::from(recorded) > sum);
        let settled = self.is_due(ended.0) && (task.complete_time.is_some() || !falls);
        if let Some(to_nano_usd) = i64::try_from(sum).ok().filter(|sum| *sum >= 0)
            && whole
            && settled
            && !events.is_empty()
            && task.billed_cost_nano_usd != Some(to_nano_usd)
        {
            outcome.costs.insert(CostChange {
                user_id: task.user_id,
                task_id: task.task_id.clone(),
                from_nano_usd: task.billed_cost_nano_usd,
                to_nano_usd,
            });
        }
        let in_period = self.in_period(created);
        if in_period && self.is_shown(task) {
            outcome.billed += sum;
        }
        let ended_in_period = task.complete_time.is_some_and(|time| self.in_period(time.0));
        if !(in_period || reached && ended_in_period) || !self.is_due(ended.0) {
            return;
        }
        let mut record = |name: String, billed: i128, recorded: i128| {
            if let Some(sums) = outcome.workspaces.get_mut(&name) {
                *sums = (sums.0 + billed, sums.1 + recorded);
            }
        };
        let mut by_workspace: BTreeMap<usize, String> = BTreeMap::new();
        for event in events {
            let name = workspace(self.account(event.account_id));
            let cost = event.cost_nano_usd.into();
            record(name.clone(), cost, if task.reported_cost_nano_usd.is_none() { cost } else { 0 });
            // Workspaces rank by their first account.
            let rank = self.accounts.iter().position(|account| workspace(account) == name).expect("known");
            by_workspace.insert(rank, name);
        }
        let home = self.home(task).map(workspace);
        let reported = task.reported_cost_nano_usd.map(i128::from);
        let place = match &home {
            Some(home) if by_workspace.values().any(|name| name == home) => Some(home.clone()),
            _ if !events.is_empty() => by_workspace.into_values().next(),
            _ => home,
        };
        if let (Some(reported), Some(name)) = (reported, place) {
            record(name, 0, reported);
        }
    }

    fn add_stray(&self, request_id: &str, events: &[&Event], outcome: &mut Outcome) {
        let sum: i128 = events.iter().map(|event| i128::from(event.cost_nano_usd)).sum();
        let newest = events.iter().map(|event| event.time.0).max().expect("at least one");
        if self.scope.now.0 - newest < self.thresholds.billing_lag_micros {
            return;
        }
        for event in events {
            let name = workspace(self.account(event.account_id));
            if let Some(sums) = outcome.workspaces.get_mut(&name) {
                sums.0 += i128::from(event.cost_nano_usd);
            }
        }
        let places: BTreeSet<usize> = events
            .iter()
            .map(|event| workspace(self.account(event.account_id)))
            .map(|name| self.accounts.iter().position(|account| workspace(account) == name).expect("known"))
            .collect();
        let first = workspace(&self.accounts[*places.first().expect("at least one")]);
        if sum > 0 && outcome.workspaces.contains_key(&first) {
            outcome.strays.insert(request_id.to_owned(), sum);
        }
    }
}

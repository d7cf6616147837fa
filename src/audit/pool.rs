//! Accounts grouped by workspace: limits, balances and bills of fal are a workspace's, so each is counted once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{Account, Fetch, Micros, Task, Text, Usage};

/// A workspace of fal: the unit of its bill.
#[derive(Clone, Debug)]
pub(super) struct Workspace {
    /// Its name; `account 7` where only the account is known.
    pub(super) name: Text,
    /// Its accounts, by id.
    pub(super) accounts: Vec<(i64, Text)>,
    /// The account whose events count; those that came through another one are the same events again.
    pub(super) source: Option<i64>,
    /// Whether all its events are in the evidence.
    pub(super) complete: bool,
    /// Whether the run is about one of its accounts.
    pub(super) selected: bool,
    /// Its newest known balance in nano-USD, and when that was.
    pub(super) balance: Option<(i64, Micros)>,
    /// fal's totals.
    pub(super) usage: Option<Usage>,
    /// What fal answered so that it could not be read.
    pub(super) unreadable: Vec<Text>,
}

/// All accounts and workspaces.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub(super) workspaces: Vec<Workspace>,
    /// Account → its workspace, and whether the run is about it.
    accounts: BTreeMap<i64, (usize, bool)>,
    /// Key id → its account.
    keys: BTreeMap<Text, i64>,
}

/// Why a list of accounts is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountsError {
    /// An account is listed twice.
    Repeated(i64),
    /// Two accounts claim one key id.
    SharedKey(Text),
}

impl fmt::Display for AccountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountsError::Repeated(account_id) => write!(f, "account {account_id} is listed twice"),
            AccountsError::SharedKey(key_id) => write!(f, "two accounts have the key id {key_id}"),
        }
    }
}

impl std::error::Error for AccountsError {}

impl Pool {
    pub(super) fn new(mut accounts: Vec<Account>) -> Result<Self, AccountsError> {
        accounts.sort_by_key(|account| account.account_id);
        let mut pool = Self { workspaces: Vec::new(), accounts: BTreeMap::new(), keys: BTreeMap::new() };
        let mut named: BTreeMap<Text, usize> = BTreeMap::new();
        for account in accounts {
            let account_id = account.account_id;
            for key_id in &account.key_ids {
                let before = pool.keys.insert(Text::clone(key_id), account_id);
                if before.is_some_and(|before| before != account_id) {
                    return Err(AccountsError::SharedKey(Text::clone(key_id)));
                }
            }
            let next = pool.workspaces.len();
            let at = if account.workspace.is_empty() {
                next
            } else {
                *named.entry(Text::clone(&account.workspace)).or_insert(next)
            };
            if pool.accounts.insert(account_id, (at, account.selected)).is_some() {
                return Err(AccountsError::Repeated(account_id));
            }
            match pool.workspaces.get_mut(at) {
                Some(workspace) => workspace.join(account),
                None => pool.workspaces.push(Workspace::of(account)),
            }
        }
        Ok(pool)
    }

    /// The workspace of an account.
    pub(super) fn workspace_of(&self, account_id: i64) -> Option<usize> {
        self.accounts.get(&account_id).map(|(workspace, _)| *workspace)
    }

    /// The account of a task: that of its newest key.
    pub(super) fn account_of(&self, task: &Task) -> Option<i64> {
        task.key_ids().find_map(|key_id| self.keys.get(key_id)).copied()
    }

    /// Whether the run is about an account; about no account, where it is about all of them.
    pub(super) fn selects(&self, account_id: Option<i64>) -> bool {
        match account_id {
            Some(account_id) => self.accounts.get(&account_id).is_some_and(|(_, selected)| *selected),
            None => self.accounts.values().all(|(_, selected)| *selected),
        }
    }

    /// The workspaces that may have billed a task, or `None` where one of its keys is nobody's, so that it is not known.
    fn may_bill(&self, task: &Task) -> Option<BTreeSet<usize>> {
        let known = task.key_ids().map(|key_id| self.workspace_of(*self.keys.get(key_id)?));
        let mut known: BTreeSet<usize> = known.collect::<Option<_>>()?;
        if known.is_empty() {
            known.extend(0..self.workspaces.len());
        }
        Some(known)
    }

    /// Whether a task without an event has none: every workspace that may have billed it was fetched to the end. A task
    /// of no known key may have been billed by any; where there is none, nobody was asked.
    pub(super) fn proves_absence(&self, task: &Task) -> bool {
        self.may_bill(task).is_some_and(|workspaces| {
            !workspaces.is_empty() && workspaces.into_iter().all(|at| self.is_complete(at))
        })
    }

    pub(super) fn is_complete(&self, workspace: usize) -> bool {
        self.workspaces.get(workspace).is_some_and(|workspace| workspace.complete)
    }
}

impl Workspace {
    fn of(account: Account) -> Self {
        let name = if account.workspace.is_empty() {
            format!("account {}", account.account_id).into()
        } else {
            Text::clone(&account.workspace)
        };
        let mut workspace = Self {
            name,
            accounts: Vec::new(),
            source: None,
            complete: false,
            selected: false,
            balance: None,
            usage: None,
            unreadable: Vec::new(),
        };
        workspace.join(account);
        workspace
    }

    /// Takes one more account. They come by id, so that of equals the least is kept.
    fn join(&mut self, account: Account) {
        match account.fetch {
            Fetch::Complete if !self.complete => {
                self.source = Some(account.account_id);
                self.complete = true;
                self.usage = account.usage.or(self.usage.take());
            }
            Fetch::Incomplete if self.source.is_none() => {
                self.source = Some(account.account_id);
                self.usage = self.usage.take().or(account.usage);
            }
            _ => self.usage = self.usage.take().or(account.usage),
        }
        self.selected |= account.selected;
        self.unreadable.extend(account.unreadable);
        if account.balance.is_some_and(|(_, time)| self.balance.is_none_or(|(_, newest)| time > newest)) {
            self.balance = account.balance;
        }
        self.accounts.push((account.account_id, account.name));
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::sample;
    use super::*;

    #[test]
    fn accounts_of_one_workspace_are_one_and_the_first_complete_fetch_stands_for_it() {
        let accounts = vec![
            Account { fetch: Fetch::Complete, ..sample::account(3, "w") },
            Account { fetch: Fetch::Incomplete, ..sample::account(1, "w") },
            Account { fetch: Fetch::Complete, ..sample::account(2, "w") },
            Account { fetch: Fetch::Incomplete, ..sample::account(9, "") },
        ];
        let pool = Pool::new(accounts).expect("sound");
        let seen: Vec<_> =
            pool.workspaces.iter().map(|w| (&*w.name, w.accounts.len(), w.source, w.complete)).collect();
        assert_eq!(seen, [("w", 3, Some(2), true), ("account 9", 1, Some(9), false)]);
    }

    #[test]
    fn the_newest_balance_of_a_workspace_is_its_balance() {
        let accounts = vec![
            Account { balance: Some((5, Micros(10))), ..sample::account(1, "w") },
            Account { balance: Some((7, Micros(20))), ..sample::account(2, "w") },
            Account { balance: Some((9, Micros(20))), ..sample::account(3, "w") },
            Account { balance: None, ..sample::account(4, "w") },
        ];
        assert_eq!(Pool::new(accounts).expect("sound").workspaces[0].balance, Some((7, Micros(20))));
    }

    #[test]
    fn absence_is_proved_only_by_every_workspace_that_may_have_billed() {
        let accounts = vec![
            sample::account(1, "whole"),
            Account { fetch: Fetch::Incomplete, ..sample::account(2, "cut") },
        ];
        let pool = Pool::new(accounts).expect("sound");
        let task = |keys: &[(&str, &str)], key_id: &str| {
            let attempts = sample::attempts(keys);
            Task { attempts, key_id: key_id.into(), ..sample::task() }
        };
        assert!(pool.proves_absence(&task(&[("r", "k1")], "k1")));
        assert!(!pool.proves_absence(&task(&[("r", "k2"), ("s", "k1")], "k1")), "an attempt ran elsewhere");
        assert!(!pool.proves_absence(&task(&[("r", "")], "")), "any workspace may have billed it");
        assert!(!pool.proves_absence(&task(&[("r", "k1")], "gone")), "nobody's key");
    }

    #[test]
    fn without_a_workspace_that_was_asked_nothing_is_proved() {
        let pool = Pool::new(vec![]).expect("sound");
        let of_no_key =
            Task { attempts: sample::attempts(&[("r", "")]), key_id: "".into(), ..sample::task() };
        assert!(!pool.proves_absence(&of_no_key) && !pool.proves_absence(&sample::task()));
        let unasked = Account { fetch: Fetch::NotAsked, ..sample::account(1, "w") };
        assert!(!Pool::new(vec![unasked]).expect("sound").proves_absence(&of_no_key));
    }

    #[test]
    fn an_account_or_key_that_is_listed_twice_is_refused() {
        let twice = Pool::new(vec![sample::account(1, "w"), sample::account(1, "v")]);
        assert_eq!(twice.err(), Some(AccountsError::Repeated(1)));
        let shared = Account { key_ids: vec!["k1".into()], ..sample::account(2, "w") };
        assert_eq!(
            Pool::new(vec![sample::account(1, "w"), shared]).err(),
            Some(AccountsError::SharedKey("k1".into()))
        );
    }

    #[test]
    fn the_account_whose_events_count_is_given_up_for_no_one_that_was_fetched_no_further() {
        let source = |fetches: [Fetch; 2]| {
            let [one, other] = fetches;
            let accounts = vec![
                Account { fetch: one, ..sample::account(1, "w") },
                Account { fetch: other, ..sample::account(2, "w") },
            ];
            let workspace = &Pool::new(accounts).expect("sound").workspaces[0];
            (workspace.source, workspace.complete)
        };
        assert_eq!(source([Fetch::Complete, Fetch::Incomplete]), (Some(1), true));
        assert_eq!(source([Fetch::Incomplete, Fetch::Incomplete]), (Some(1), false));
        assert_eq!(source([Fetch::NotAsked, Fetch::Incomplete]), (Some(2), false));
        assert_eq!(source([Fetch::NotAsked, Fetch::NotAsked]), (None, false));
    }
}

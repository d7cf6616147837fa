//! Re-derives what the pool's tables say of each other, and names each row that disagrees.
//!
//! The phases: [`PoolCheck::lease`] for each lease by task and fence; [`PoolCheck::finish`] with the accounts and
//! workspaces.

use std::collections::{BTreeMap, BTreeSet};

use super::{Account, AccountId, Circuit, Lease, Workspace};
use crate::ledger::Text;
use crate::ledger::verify::Disagreement;

const LEASES: &str = "scrip_leases";
const ACCOUNTS: &str = "ts_fal_account";
const WORKSPACES: &str = "scrip_workspaces";

/// The check of the whole pool. Keeps a number for each account, and the leases that try an account's return.
#[derive(Debug, Default)]
pub struct PoolCheck {
    /// The newest lease of the task at hand.
    newest: Option<(Text, i64)>,
    /// Whether the task at hand has an open lease.
    has_open: bool,
    given: BTreeMap<AccountId, i64>,
    probes: BTreeSet<Text>,
    found: Vec<Disagreement>,
}

impl PoolCheck {
    /// Takes the next lease, in the order of (task, fence).
    pub fn lease(&mut self, lease: &Lease) {
        let key = || format!("lease {}", lease.lease_id);
        let before = self.newest.take().filter(|(task_id, _)| *task_id == lease.task_id);
        if before.is_none() {
            self.has_open = false;
        }
        let fence = before.map_or(1, |(_, fence)| fence.saturating_add(1));
        if lease.fence != fence {
            self.add(LEASES, key(), "fence", fence.to_string(), lease.fence.to_string());
        }
        if lease.is_open() && self.has_open {
            self.add(LEASES, key(), "released_at", "one open lease a task".to_owned(), "another".to_owned());
        }
        if lease.release_time.is_some() != lease.outcome.is_some() {
            let found = if lease.outcome.is_some() { "an outcome alone" } else { "released_at alone" };
            self.add(LEASES, key(), "outcome", "with released_at, or neither".to_owned(), found.to_owned());
        }
        if lease.expire_time < lease.acquire_time {
            let expected = format!("after {}", lease.acquire_time.0);
            self.add(LEASES, key(), "expires_at", expected, lease.expire_time.0.to_string());
        }
        self.has_open |= lease.is_open();
        self.newest = Some((Text::clone(&lease.task_id), lease.fence));
        let given = self.given.entry(lease.account_id).or_default();
        *given = given.saturating_add(1);
        if lease.is_open() && lease.is_probe {
            self.probes.insert(Text::clone(&lease.lease_id));
        }
    }

    /// How many leases were given in all, so far.
    pub fn leases(&self) -> u64 {
        self.given.values().fold(0, |sum, given| sum.saturating_add(given.unsigned_abs()))
    }

    /// Ends the check; answers what disagrees.
    pub fn finish(mut self, accounts: &[Account], workspaces: &[Workspace]) -> Vec<Disagreement> {
        let names: BTreeSet<&Text> = workspaces.iter().map(|workspace| &workspace.workspace).collect();
        for account in accounts {
            let key = || format!("account {}", account.account_id);
            let given = self.given.remove(&account.account_id).unwrap_or(0);
            if account.use_cnt != given {
                self.add(ACCOUNTS, key(), "use_cnt", given.to_string(), account.use_cnt.to_string());
            }
            if account.error_cnt > account.use_cnt {
                let expected = format!("at most {}", account.use_cnt);
                self.add(ACCOUNTS, key(), "error_cnt", expected, account.error_cnt.to_string());
            }
            if !names.contains(&account.workspace) {
                let expected = format!("a workspace {}", account.workspace);
                self.add(ACCOUNTS, key(), "workspace", expected, "none".to_owned());
            }
            self.probe(ACCOUNTS, key(), &account.key);
        }
        for workspace in workspaces {
            self.probe(WORKSPACES, format!("workspace {}", workspace.workspace), &workspace.circuit);
        }
        for account_id in std::mem::take(&mut self.given).into_keys() {
            let key = format!("account {account_id}");
            self.add(ACCOUNTS, key, "row", "one for its leases".to_owned(), "none".to_owned());
        }
        self.found
    }

    /// A probe that is over would keep what it tries out for ever.
    fn probe(&mut self, table: &'static str, key: String, circuit: &Circuit) {
        let probe = circuit.out.as_ref().and_then(|out| out.probe.as_ref());
        if let Some(lease_id) = probe.filter(|lease_id| !self.probes.contains(*lease_id)) {
            let expected = "an open lease that tries it, or none".to_owned();
            self.add(table, key, "probe_lease_id", expected, lease_id.to_string());
        }
    }

    fn add(&mut self, table: &'static str, key: String, what: &'static str, expected: String, found: String) {
        self.found.push(Disagreement { table, key, what, expected, found });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]

    use super::super::{AccountStatus, AllowList, Cause, LeaseOutcome, Out};
    use super::*;
    use crate::ledger::Micros;

    fn account(use_cnt: i64) -> Account {
        Account {
            account_id: 1,
            name: "one".into(),
            workspace: "ws".into(),
            key_id: "key-1".into(),
            billing_key_id: None,
            status: AccountStatus::Enabled,
            max_concurrency: 2,
            priority: 0,
            weight: 100,
            allowed_apps: AllowList::default(),
            remark: "".into(),
            use_cnt,
            error_cnt: 0,
            create_time: Micros(0),
            update_time: Micros(0),
            key: Circuit::default(),
        }
    }

    fn lease(task_id: &str, fence: i64, ended: Option<LeaseOutcome>) -> Lease {
        Lease {
            lease_id: format!("{task_id}-{fence}").into(),
            account_id: 1,
            key_id: "key-1".into(),
            runner_id: "".into(),
            user_id: 7,
            task_id: task_id.into(),
            fence,
            acquire_time: Micros(10),
            expire_time: Micros(20),
            release_time: ended.map(|_| Micros(15)),
            outcome: ended,
            is_probe: false,
            is_retry: false,
            estimated_cost_nano_usd: 0,
        }
    }

    fn wrong(
        leases: &[Lease],
        accounts: &[Account],
        workspaces: &[Workspace],
    ) -> Vec<(&'static str, String)> {
        let mut check = PoolCheck::default();
        leases.iter().for_each(|lease| check.lease(lease));
        let found = check.finish(accounts, workspaces);
        found.into_iter().map(|found| (found.what, found.key)).collect()
    }

    fn sound() -> (Vec<Lease>, Vec<Account>, Vec<Workspace>) {
        let done = Some(LeaseOutcome::Succeeded);
        let leases = vec![lease("a", 1, done), lease("a", 2, None), lease("b", 1, done)];
        (leases, vec![account(3)], vec![Workspace::new("ws".into())])
    }

    #[test]
    fn a_sound_pool_is_clean() {
        let (leases, accounts, workspaces) = sound();
        assert_eq!(wrong(&leases, &accounts, &workspaces), []);
        assert_eq!(wrong(&[], &[], &[]), []);
    }

    type ByHand<'a> = &'a dyn Fn(&mut Vec<Lease>, &mut Vec<Account>, &mut Vec<Workspace>);

    #[test]
    fn every_row_changed_by_hand_is_named() {
        let named = |change: ByHand<'_>| {
            let (mut leases, mut accounts, mut workspaces) = sound();
            change(&mut leases, &mut accounts, &mut workspaces);
            wrong(&leases, &accounts, &workspaces)
        };
        let one = |what, key: &str| vec![(what, key.to_owned())];
        assert_eq!(named(&|leases, _, _| leases[1].fence = 3), one("fence", "lease a-2"));
        assert_eq!(named(&|leases, _, _| leases[2].outcome = None), one("outcome", "lease b-1"));
        assert_eq!(named(&|leases, _, _| leases[2].expire_time = Micros(9)), one("expires_at", "lease b-1"));
        let reopen = |leases: &mut Vec<Lease>| leases[0] = lease("a", 1, None);
        assert_eq!(named(&|leases, _, _| reopen(leases)), one("released_at", "lease a-2"));
        assert_eq!(named(&|_, accounts, _| accounts[0].use_cnt = 2), one("use_cnt", "account 1"));
        assert_eq!(named(&|_, accounts, _| accounts[0].error_cnt = 4), one("error_cnt", "account 1"));
        assert_eq!(named(&|_, accounts, _| accounts.clear()), one("row", "account 1"));
        assert_eq!(named(&|_, _, workspaces| workspaces.clear()), one("workspace", "account 1"));
        let out = |probe: &str| Out {
            cause: Cause::RateLimited,
            since: Micros(0),
            until: Micros(1),
            probe: Some(probe.into()),
        };
        // Open, but no probe.
        let found = named(&|_, _, workspaces| workspaces[0].circuit.out = Some(out("a-2")));
        assert_eq!(found, one("probe_lease_id", "workspace ws"));
        let found = named(&|leases, accounts, _| {
            leases[1].is_probe = true;
            accounts[0].key.out = Some(out("a-2"));
        });
        assert_eq!(found, []);
    }

    #[test]
    fn figures_at_their_bounds_are_sound_and_every_lease_is_counted() {
        let (mut leases, mut accounts, workspaces) = sound();
        leases[0].expire_time = leases[0].acquire_time;
        accounts[0].error_cnt = accounts[0].use_cnt;
        assert_eq!(wrong(&leases, &accounts, &workspaces), []);
        let mut check = PoolCheck::default();
        leases.iter().for_each(|lease| check.lease(lease));
        assert_eq!(check.leases(), 3);
    }
}

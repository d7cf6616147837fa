//! A cached view of the whole pool: proposes a few candidates, of which the transaction then decides.
//!
//! A view is read from the store at most a second ago, and hears at once of everything its own process decides
//! ([`View::observe`]). It may be wrong, and nothing rests on it: the candidates' rows are locked and read before one
//! is chosen, and a candidate found full is observed as such, so that the next proposal names others.
//!
//! A small pool is scanned whole; a large one is kept on shelves, by tier and allow-list, and
//! proposing costs the same whatever its size.

use super::AccountId;
use super::account::{Account, AccountStatus, AllowList};
use super::circuit::Gate;
use super::guard::{Peer, Peers};
use super::refusal::{Obstacles, Refusal};
use super::score::{Against, lot, penalty, utilisation};
use super::settings::Settings;
use super::shelves::{DUE, OUT, Shelves, shelf_of};
use super::workspace::{Workspace, against, gate, limit_of, slots};
use crate::ledger::{Micros, Text};

/// The most candidates of one proposal: enough that one of them is still free after a second of other replicas'
/// choices, few enough to lock.
pub const MOST_CANDIDATES: usize = 4;

/// A pool of up to so many accounts is scanned whole.
pub const SMALL_POOL: usize = 64;

/// One workspace as read or just decided: its row, all its accounts, and what its open leases take.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its row.
    pub workspace: &'a Workspace,
    /// All its accounts.
    pub accounts: &'a [Account],
    /// Its open leases.
    pub in_flight: u32,
    /// What the jobs of those are expected to cost, in nano-USD.
    pub committed_nano_usd: i64,
}

/// Candidates, the best first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidates {
    found: [(Rank, AccountId); MOST_CANDIDATES],
    len: usize,
}

/// Where a proposal ranks an account: tier, load (its shelf's, in a large pool), lot.
type Rank = (i32, u32, u64);

impl Candidates {
    /// The accounts, best first.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.found.iter().take(self.len).map(|(_, account_id)| *account_id)
    }

    /// Whether there is none: see [`View::refusal`] for why.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn is_full(&self) -> bool {
        self.len == MOST_CANDIDATES
    }

    /// Takes a candidate in its place among the best.
    fn offer(&mut self, rank: Rank, account_id: AccountId) {
        let at = self.found.iter().take(self.len).take_while(|(better, _)| *better <= rank).count();
        if at == MOST_CANDIDATES {
            return;
        }
        self.len = self.len.saturating_add(1).min(MOST_CANDIDATES);
        if let Some(tail) = self.found.get_mut(at..self.len) {
            tail.rotate_right(1);
            if let Some(first) = tail.first_mut() {
                *first = (rank, account_id);
            }
        }
    }
}

/// An account, as much of it as the choice needs.
#[derive(Clone, Copy, Debug)]
struct Entry {
    account_id: AccountId,
    /// Its place in `peers`.
    workspace: u32,
    /// Its place in `groups`.
    group: u32,
    /// The next account of its workspace, in a ring: by its index in the view.
    sibling: u32,
    enabled: bool,
    gate: Gate,
    /// The slots it may use now.
    slots: u32,
    in_flight: u32,
    /// Utilisation and what speaks against it, without the job's cost.
    load: u32,
    /// What one more lease adds to the load.
    step: u32,
    credit_nano_usd: Option<i64>,
}

impl Entry {
    /// Its shelf. A due probe goes first: an account comes back only by a job that tries it.
    fn shelf(&self) -> u8 {
        match self.gate {
            _ if !self.enabled || self.in_flight >= self.slots => OUT,
            Gate::Due => DUE,
            Gate::Free => shelf_of(self.load),
            Gate::Probing | Gate::Shut(_) => OUT,
        }
    }

    /// Its load for a job of this cost, in nano-USD.
    fn load_for(&self, estimated_cost_nano_usd: i64) -> u32 {
        if self.gate == Gate::Due {
            return 0;
        }
        let credit = self.credit_nano_usd.filter(|credit| *credit > 0);
        let against = Against { credit_nano_usd: credit, ..Against::default() };
        self.load.saturating_add(penalty(&against, estimated_cost_nano_usd))
    }
}

/// Accounts of one tier and one allow-list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    priority: i32,
    allowed: AllowList,
}

/// The cached view.
#[derive(Clone, Debug, Default)]
pub struct View {
    settings: Settings,
    /// By account id.
    entries: Vec<Entry>,
    /// By tier, then allow-list.
    groups: Vec<Group>,
    shelves: Shelves,
    /// By workspace name.
    peers: Vec<Peer>,
    typical_latency_micros: Option<i64>,
}

impl View {
    /// A view of an empty pool.
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Reads the whole pool anew.
    pub fn refresh<'a>(&mut self, pool: impl Iterator<Item = Seen<'a>> + Clone, now: Micros) {
        let group_of =
            |account: &Account| Group { priority: account.priority, allowed: account.allowed_apps.clone() };
        self.groups.clear();
        self.peers.clear();
        self.entries.clear();
        for seen in pool.clone() {
            self.groups.extend(seen.accounts.iter().map(group_of));
            self.peers.push(peer_of(seen.workspace));
            // Alike ones are many and next to each other: a large pool shall not gather a large list.
            self.groups.dedup();
        }
        self.groups.sort();
        self.groups.dedup();
        self.typical_latency_micros =
            median(pool.clone().filter_map(|seen| seen.workspace.vitals.latency_micros));
        for (seen, workspace) in pool.zip(0..) {
            for account in seen.accounts {
                let group = self.groups.binary_search(&group_of(account)).unwrap_or(0);
                let entry = Entry {
                    workspace,
                    group: u32::try_from(group).unwrap_or(u32::MAX),
                    ..self.entry_of(account, &seen, now)
                };
                self.entries.push(entry);
            }
        }
        self.entries.sort_by_key(|entry| entry.account_id);
        self.link_siblings();
        let shelves: Vec<_> = self.entries.iter().map(|entry| (entry.group, entry.shelf())).collect();
        self.shelves.build(shelves.into_iter(), self.groups.len());
    }

    /// Hears what was just found or decided of one workspace. No allocation; accounts new to the view wait for the
    /// next refresh.
    pub fn observe(&mut self, seen: &Seen<'_>, now: Micros) {
        for account in seen.accounts {
            let Some(index) = self.index_of(account.account_id) else { continue };
            let heard = self.entry_of(account, seen, now);
            let Some(entry) = self.entries.get_mut(index) else { continue };
            let (workspace, group, sibling) = (entry.workspace, entry.group, entry.sibling);
            *entry = Entry { workspace, group, sibling, ..heard };
            let shelf = entry.shelf();
            self.shelves.put(u32::try_from(index).unwrap_or(u32::MAX), shelf);
            if let Some(peer) = self.peers.get_mut(workspace as usize) {
                peer.last_failure = seen.workspace.vitals.last_failure;
                peer.last_success = seen.workspace.vitals.last_success;
            }
        }
    }

    /// Counts a lease that is likely to be taken on this account, as that of a proposal just made: proposals of one
    /// batch, before any of them is decided, then spread over the pool. The other accounts of its workspace share the
    /// slots, so that it is seen on them as well. Nothing takes it back but the next [`View::observe`] of the
    /// workspace or refresh, at most a second later, and neither knows of what is still expected. No allocation.
    pub fn expect(&mut self, account_id: AccountId) {
        let Some(first) = self.index_of(account_id) else { return };
        let is_probe = self.entries.get(first).is_some_and(|entry| entry.gate == Gate::Due);
        let mut index = first;
        // A ring has at most as many links as the view has accounts.
        for _ in 0..self.entries.len() {
            let Some(entry) = self.entries.get_mut(index) else { return };
            entry.in_flight = entry.in_flight.saturating_add(1);
            entry.load = entry.load.saturating_add(entry.step);
            // Whether key or workspace is to be tried is not kept: a sibling that waits for its own probe waits on.
            if is_probe && entry.gate == Gate::Due {
                entry.gate = Gate::Probing;
            }
            let (shelf, sibling) = (entry.shelf(), entry.sibling as usize);
            self.shelves.put(u32::try_from(index).unwrap_or(u32::MAX), shelf);
            if sibling == first {
                return;
            }
            index = sibling;
        }
    }

    /// Names the accounts to lock for a job: at most [`MOST_CANDIDATES`]. No allocation.
    pub fn propose(&self, app_name: &str, estimated_cost_nano_usd: i64, random: u64) -> Candidates {
        let mut found = Candidates::default();
        let mut tier = None;
        for (group, index) in self.groups.iter().zip(0_usize..) {
            if tier != Some(group.priority) && found.is_full() {
                break;
            }
            tier = Some(group.priority);
            if group.allowed.allows(app_name) {
                let most = if self.entries.len() <= SMALL_POOL { SMALL_POOL } else { MOST_CANDIDATES };
                for (account, _) in self.shelves.least(index, most, random) {
                    let Some(entry) = self.entries.get(account as usize) else { continue };
                    let load = entry.load_for(estimated_cost_nano_usd);
                    found.offer((group.priority, load, lot(random, entry.account_id)), entry.account_id);
                }
            }
        }
        found
    }

    /// Why a proposal was empty, and when to ask again. Goes through the whole pool.
    pub fn refusal(&self, app_name: &str, now: Micros) -> Refusal {
        let mut obstacles = Obstacles::default();
        for entry in self.entries.iter().filter(|entry| entry.enabled) {
            obstacles.enabled();
            let group = self.groups.get(entry.group as usize);
            if group.is_some_and(|group| group.allowed.allows(app_name)) {
                obstacles.allowed(entry.gate, entry.in_flight);
            }
        }
        obstacles.refusal(now, self.typical_latency_micros)
    }

    /// The witnesses that a decision hears.
    pub fn peers(&self) -> Peers<'_> {
        Peers { peers: &self.peers, typical_latency_micros: self.typical_latency_micros }
    }

    fn index_of(&self, account_id: AccountId) -> Option<usize> {
        self.entries.binary_search_by_key(&account_id, |entry| entry.account_id).ok()
    }

    /// Links the accounts of each workspace in a ring.
    fn link_siblings(&mut self) {
        let mut newest: Vec<Option<u32>> = vec![None; self.peers.len()];
        for index in 0..self.entries.len() {
            let Some(workspace) = self.entries.get(index).map(|entry| entry.workspace as usize) else {
                return;
            };
            let own = u32::try_from(index).unwrap_or(u32::MAX);
            let before = newest.get_mut(workspace).and_then(|newest| newest.replace(own));
            let before = before.and_then(|before| self.entries.get_mut(before as usize));
            let next = before.map_or(own, |before| std::mem::replace(&mut before.sibling, own));
            if let Some(entry) = self.entries.get_mut(index) {
                entry.sibling = next;
            }
        }
    }

    /// What the view keeps of an account; its places are the caller's to say.
    fn entry_of(&self, account: &Account, seen: &Seen<'_>, now: Micros) -> Entry {
        let (row, settings) = (seen.workspace, &self.settings);
        let limit = limit_of(seen.accounts);
        let typical = self.typical_latency_micros;
        let known = against(row, seen.committed_nano_usd, typical, now, settings);
        let busy = utilisation(seen.in_flight, limit, account.weight);
        Entry {
            account_id: account.account_id,
            workspace: 0,
            group: 0,
            sibling: 0,
            enabled: account.status == AccountStatus::Enabled,
            gate: gate(account, row, now),
            slots: slots(account, row, limit, now, settings),
            in_flight: seen.in_flight,
            load: busy.saturating_add(penalty(&known, 0)),
            step: utilisation(seen.in_flight.saturating_add(1), limit, account.weight).saturating_sub(busy),
            credit_nano_usd: known.credit_nano_usd,
        }
    }
}

fn peer_of(row: &Workspace) -> Peer {
    Peer {
        workspace: Text::clone(&row.workspace),
        last_failure: row.vitals.last_failure,
        last_success: row.vitals.last_success,
    }
}

fn median(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut values: Vec<i64> = values.collect();
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable(middle).1)
}

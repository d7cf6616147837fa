//! Accounts kept sorted by load, coarsely, so that the least loaded is found without a search.
//!
//! One array holds all accounts, group after group (a group is one tier and one allow-list), each group shelf after
//! shelf. An account that moves by one shelf swaps places with the account at the shelf's edge and the edge moves
//! over it: as many swaps as shelves between, and never an allocation. The first place of a group is always one of
//! its least loaded accounts. (The array with moving edges is that of Batagelj and Zaveršnik's core decomposition,
//! 2003.)

#![allow(
    clippy::arithmetic_side_effects,
    reason = "places and edges are indices into arrays built to their size"
)]

use super::score::FULL;

/// The first shelf is for accounts whose return is due to be tried: before any load.
pub(super) const DUE: u8 = 0;
/// Accounts that nothing can be leased of stand on the last shelf.
pub(super) const OUT: u8 = SHELVES as u8 - 1;
/// How many shelves a group has: a load of twice full and more shares the last but one.
const SHELVES: usize = 128;
/// The loads of one shelf: 1/64 of full.
const STEP: u32 = FULL / 64;

/// The shelf of a load.
pub(super) fn shelf_of(load: u32) -> u8 {
    u8::try_from(load / STEP + 1).unwrap_or(OUT).min(OUT - 1)
}

/// Accounts by group and shelf.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelves {
    /// Accounts, by their index in the view, in the order of groups and shelves.
    order: Vec<u32>,
    /// Where each account stands in `order`.
    place: Vec<u32>,
    /// The shelf of each account.
    shelf: Vec<u8>,
    /// The group of each account.
    group: Vec<u32>,
    /// For each group the first place of each shelf, and the place after its last.
    edges: Vec<[u32; SHELVES + 1]>,
}

impl Shelves {
    /// Puts accounts up: `of` says each one's group and shelf; groups count from 0.
    pub(super) fn build(&mut self, of: impl ExactSizeIterator<Item = (u32, u8)> + Clone, groups: usize) {
        let size = of.len();
        self.order.clear();
        self.order.resize(size, 0);
        self.place.clear();
        self.place.resize(size, 0);
        self.shelf.clear();
        self.group.clear();
        self.edges.clear();
        self.edges.resize(groups, [0; SHELVES + 1]);
        for (group, shelf) in of {
            self.group.push(group);
            self.shelf.push(shelf);
            self.edges[group as usize][usize::from(shelf) + 1] += 1;
        }
        let mut next = 0;
        for edges in &mut self.edges {
            edges[0] = next;
            for shelf in 0..SHELVES {
                next += edges[shelf + 1];
                edges[shelf + 1] = next;
            }
        }
        let mut free: Vec<[u32; SHELVES + 1]> = self.edges.clone();
        for account in 0..size {
            let place = &mut free[self.group[account] as usize][usize::from(self.shelf[account])];
            self.order[*place as usize] = u32::try_from(account).unwrap_or(u32::MAX);
            self.place[account] = *place;
            *place += 1;
        }
    }

    /// Moves an account to another shelf of its group.
    pub(super) fn put(&mut self, account: u32, to: u8) {
        let index = account as usize;
        let (Some(&from), Some(&group)) = (self.shelf.get(index), self.group.get(index)) else { return };
        let group = group as usize;
        for shelf in from..to {
            let edge = self.edges[group][usize::from(shelf) + 1] - 1;
            self.swap(account, edge);
            self.edges[group][usize::from(shelf) + 1] = edge;
        }
        for shelf in (to..from).rev() {
            let edge = self.edges[group][usize::from(shelf) + 1];
            self.swap(account, edge);
            self.edges[group][usize::from(shelf) + 1] = edge + 1;
        }
        self.shelf[index] = to;
    }

    /// Up to `most` accounts of a group, the least loaded shelf first, begun at a random place of it; each with its
    /// shelf. Accounts that are out are not among them.
    pub(super) fn least(
        &self,
        group: usize,
        most: usize,
        random: u64,
    ) -> impl Iterator<Item = (u32, u8)> + '_ {
        let edges = &self.edges[group];
        let (first, end) = (edges[0], edges[usize::from(OUT)]);
        let lowest = if first < end { self.shelf[self.order[first as usize] as usize] } else { OUT };
        // A group with nothing to lease has an empty range, whatever its lowest shelf is.
        let width = edges[usize::from(lowest) + 1] - first;
        let start = u32::try_from(random % u64::from(width.max(1))).unwrap_or(0);
        (0..(end - first)).take(most).map(move |step| {
            let offset = if step < width { (start + step) % width } else { step };
            let account = self.order[(first + offset) as usize];
            (account, self.shelf[account as usize])
        })
    }

    fn swap(&mut self, account: u32, with_place: u32) {
        let here = self.place[account as usize];
        let other = self.order[with_place as usize];
        self.order.swap(here as usize, with_place as usize);
        self.place[other as usize] = here;
        self.place[account as usize] = with_place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Order, places and edges say the same.
    fn check(shelves: &Shelves) {
        for (place, &account) in shelves.order.iter().enumerate() {
            assert_eq!(shelves.place[account as usize] as usize, place);
            let (group, shelf) =
                (shelves.group[account as usize] as usize, usize::from(shelves.shelf[account as usize]));
            let edges = &shelves.edges[group];
            assert!((edges[shelf] as usize..edges[shelf + 1] as usize).contains(&place));
        }
    }

    #[test]
    fn however_accounts_move_they_stay_sorted_and_the_least_loaded_come_first() {
        let of = (0..200_u32).map(|i| (i % 3, (i * 7 % 128) as u8));
        let mut shelves = Shelves::default();
        shelves.build(of.collect::<Vec<_>>().into_iter(), 3);
        check(&shelves);
        let mut random = 7_u64;
        for _ in 0..5_000 {
            random = super::super::score::lot(random, 1);
            let (account, shelf) = ((random % 200) as u32, (random >> 32) as u8 % 128);
            shelves.put(account, shelf);
            let group = shelves.group[account as usize];
            let least = (0..200).filter(|i| shelves.group[*i] == group).map(|i| shelves.shelf[i]).min();
            let found: Vec<_> = shelves.least(group as usize, 4, random).collect();
            assert_eq!(found.first().map(|(_, shelf)| *shelf), least.filter(|shelf| *shelf != OUT));
            assert!(found.is_sorted_by_key(|(_, shelf)| *shelf));
        }
        check(&shelves);
    }

    #[test]
    fn a_group_in_which_all_are_out_offers_nobody() {
        let mut shelves = Shelves::default();
        shelves.build(vec![(0, OUT), (0, OUT), (1, 5)].into_iter(), 2);
        assert_eq!(shelves.least(0, 4, 9).count(), 0);
        shelves.put(1, 3);
        assert_eq!(shelves.least(0, 4, 9).collect::<Vec<_>>(), [(1, 3)]);
    }

    #[test]
    fn loads_share_shelves_by_sixty_fourths_and_an_overloaded_account_is_still_not_out() {
        assert_eq!(shelf_of(0), DUE + 1);
        assert_eq!(shelf_of(FULL / 2), 33);
        assert_eq!(shelf_of(u32::MAX), OUT - 1);
    }

    #[test]
    fn a_search_begins_anywhere_on_the_first_shelf_and_names_nobody_twice() {
        let mut shelves = Shelves::default();
        // Before and after the group are others; its first shelf holds three, the next two, and one is out.
        let of = [(0, 7), (1, 2), (1, 2), (1, 2), (1, 4), (1, 4), (1, OUT), (2, 1)];
        shelves.build(of.into_iter(), 4);
        let mut first = std::collections::BTreeSet::new();
        for number in 0..60 {
            let random = super::super::score::lot(number, 1);
            let found: Vec<_> = shelves.least(1, 9, random).collect();
            assert_eq!(found.iter().map(|(_, shelf)| *shelf).collect::<Vec<_>>(), [2, 2, 2, 4, 4]);
            let accounts: std::collections::BTreeSet<_> = found.iter().map(|(account, _)| *account).collect();
            assert_eq!(accounts, (1..=5).collect());
            first.insert(found[0].0);
        }
        assert_eq!(first, (1..=3).collect());
        assert_eq!(shelves.least(3, 4, 9).count(), 0, "the last group has nobody");
    }
}

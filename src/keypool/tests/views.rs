//! The cached view.

use super::*;
use crate::keypool::view::{MOST_CANDIDATES, SMALL_POOL};
use crate::keypool::{AccountStatus, AllowList, Seen, View, Why, Workspace};

const NOW: Micros = Micros(1_760_000_000_000_000);
const APP: &str = "fal-ai/flux/dev";

fn view_of(world: &World) -> View {
    let mut view = View::new(Settings::default());
    world.refresh(&mut view, NOW);
    view
}

/// Tells the view that an account, alone in its workspace, has so many open leases.
fn observe(view: &mut View, world: &World, account_id: AccountId, in_flight: u32) {
    let account = &world.accounts[&account_id];
    let workspace = &world.workspaces[&account.workspace];
    let accounts = std::slice::from_ref(account);
    view.observe(&Seen { workspace, accounts, in_flight, committed_nano_usd: 0 }, NOW);
}

fn pool_of(size: AccountId) -> World {
    let mut world = World::default();
    for id in 1..=size {
        world.add(account(id, [2, 5, 10, 20, 40][id as usize % 5]));
    }
    world
}

#[test]
fn a_view_fills_a_small_and_a_large_pool_evenly_and_to_the_last_slot() {
    for size in [3, SMALL_POOL as AccountId, 500] {
        let world = pool_of(size);
        let mut view = view_of(&world);
        let mut in_flight = vec![0_u32; size as usize + 1];
        let slots: u32 = world.accounts.values().map(|account| account.max_concurrency).sum();
        for lease in 0..slots {
            let best = view.propose(APP, 0, lease.into()).accounts().next().expect("a slot is free");
            in_flight[best as usize] += 1;
            observe(&mut view, &world, best, in_flight[best as usize]);
            if lease == slots / 2 {
                for account in world.accounts.values() {
                    let used = f64::from(in_flight[account.account_id as usize]);
                    let exact = f64::from(account.max_concurrency) / 2.0;
                    assert!((used - exact).abs() <= 1.3, "{used} of {}", account.max_concurrency);
                }
            }
        }
        assert!(view.propose(APP, 0, 1).is_empty());
        let refusal = view.refusal(APP, NOW);
        assert_eq!(refusal.why, Why::AllBusy);
        observe(&mut view, &world, 2, in_flight[2] - 1);
        assert_eq!(view.propose(APP, 0, 1).accounts().collect::<Vec<_>>(), [2]);
    }
}

#[test]
fn many_proposals_of_one_batch_spread_over_the_pool() {
    for size in [3, SMALL_POOL as AccountId, 500] {
        let world = pool_of(size);
        let mut view = view_of(&world);
        let mut expected = vec![0_u32; size as usize + 1];
        let slots: u32 = world.accounts.values().map(|account| account.max_concurrency).sum();
        for lease in 0..slots {
            let best = view.propose(APP, 0, lease.into()).accounts().next().expect("a slot is left");
            view.expect(best);
            expected[best as usize] += 1;
            if lease == slots / 2 {
                for account in world.accounts.values() {
                    let used = f64::from(expected[account.account_id as usize]);
                    let exact = f64::from(account.max_concurrency) / 2.0;
                    assert!((used - exact).abs() <= 1.3, "{used} of {}", account.max_concurrency);
                }
            }
        }
        assert!(view.propose(APP, 0, 1).is_empty());
        observe(&mut view, &world, 2, 0);
        assert_eq!(view.propose(APP, 0, 1).accounts().collect::<Vec<_>>(), [2], "what is observed holds");
        world.refresh(&mut view, NOW);
        assert_eq!(view.propose(APP, 0, 1).accounts().count(), MOST_CANDIDATES.min(size as usize));
    }
}

#[test]
fn what_is_expected_of_an_account_is_expected_of_its_whole_workspace() {
    let mut world = World::default();
    for id in [1, 2, 3, 5] {
        world.add(Account { workspace: "shared".into(), ..account(id, 2) });
    }
    world.add(account(4, 2));
    let mut view = view_of(&world);
    let found = |view: &View| view.propose(APP, 0, 7).accounts().collect::<Vec<_>>();
    view.expect(3);
    assert_eq!(found(&view)[0], 4);
    view.expect(5);
    assert_eq!(found(&view), [4]);
    view.expect(99);
    assert_eq!(found(&view), [4], "an account the view does not know changes nothing");
}

#[test]
fn a_due_probe_is_expected_once() {
    let mut world = pool_of(200);
    let out = keypool::Out { cause: Cause::RateLimited, since: NOW, until: NOW, probe: None };
    world.workspaces.get_mut("ws-7").unwrap().circuit.out = Some(out);
    let mut view = view_of(&world);
    assert_eq!(view.propose(APP, 0, 1).accounts().next(), Some(7));
    view.expect(7);
    assert!((0..500).all(|random| view.propose(APP, 0, random).accounts().all(|id| id != 7)));
}

#[test]
fn candidates_differ_and_the_best_comes_first() {
    let world = pool_of(SMALL_POOL as AccountId);
    let mut view = view_of(&world);
    for id in 1..=SMALL_POOL as AccountId {
        observe(&mut view, &world, id, 2);
    }
    let loads = |id: &AccountId| world.accounts[id].max_concurrency;
    let found: Vec<_> = view.propose(APP, 0, 3).accounts().collect();
    let different: std::collections::BTreeSet<_> = found.iter().collect();
    assert_eq!(different.len(), 4);
    assert!(found.iter().all(|id| loads(id) == 40));
}

#[test]
fn tiers_allow_lists_and_status_are_kept() {
    let mut world = World::default();
    let only = |app: &str| AllowList::new(vec![app.into()]);
    world.add(Account { priority: 1, ..account(1, 5) });
    world.add(Account { allowed_apps: only("fal-ai/flux/*"), ..account(2, 1) });
    world.add(Account { allowed_apps: only("fal-ai/kokoro"), ..account(3, 5) });
    world.add(Account { status: AccountStatus::Draining, ..account(4, 5) });
    let mut view = view_of(&world);
    let found = |view: &View| view.propose(APP, 0, 9).accounts().collect::<Vec<_>>();
    assert_eq!(found(&view), [2, 1]);
    observe(&mut view, &world, 2, 1);
    assert_eq!(found(&view), [1]);
    observe(&mut view, &world, 1, 5);
    assert_eq!(view.refusal(APP, NOW).why, Why::AllBusy);
    world.accounts.get_mut(&1).unwrap().status = AccountStatus::Disabled;
    world.accounts.get_mut(&2).unwrap().status = AccountStatus::Disabled;
    world.refresh(&mut view, NOW);
    assert_eq!(view.refusal(APP, NOW).why, Why::NoneAllowed);
    assert_eq!(View::new(Settings::default()).refusal(APP, NOW).why, Why::NoneEnabled);
}

#[test]
fn what_is_out_is_not_proposed_and_a_due_probe_goes_first() {
    let world = pool_of(200);
    let mut view = view_of(&world);
    let mut row: Workspace = world.workspaces["ws-7"].clone();
    let tell = |view: &mut View, row: &Workspace, now: Micros| {
        let accounts = std::slice::from_ref(&world.accounts[&7]);
        view.observe(&Seen { workspace: row, accounts, in_flight: 1, committed_nano_usd: 0 }, now);
    };
    row.circuit.out =
        Some(keypool::Out { cause: Cause::RateLimited, since: NOW, until: NOW.plus(S), probe: None });
    tell(&mut view, &row, NOW);
    assert!((0..500).all(|random| view.propose(APP, 0, random).accounts().all(|id| id != 7)));
    tell(&mut view, &row, NOW.plus(S));
    assert!((0..500).all(|random| view.propose(APP, 0, random).accounts().next() == Some(7)));
    row.circuit.begin_probe(text("probe"));
    tell(&mut view, &row, NOW.plus(S));
    assert!((0..500).all(|random| view.propose(APP, 0, random).accounts().all(|id| id != 7)));
}

#[test]
fn witnesses_are_as_fresh_as_what_was_observed() {
    let world = pool_of(3);
    let mut view = view_of(&world);
    let since = NOW.plus(-60 * S);
    assert!(!view.peers().do_better("ws-1", Cause::UpstreamError, since));
    let mut row = world.workspaces["ws-2"].clone();
    row.vitals.succeed(NOW, Some(S), &Settings::default());
    let accounts = std::slice::from_ref(&world.accounts[&2]);
    view.observe(&Seen { workspace: &row, accounts, in_flight: 1, committed_nano_usd: 0 }, NOW);
    assert!(view.peers().do_better("ws-1", Cause::UpstreamError, since));
    assert!(!view.peers().do_better("ws-2", Cause::UpstreamError, since));
    row.vitals.fail(Cause::UpstreamError, NOW.plus(1), &Settings::default());
    view.observe(&Seen { workspace: &row, accounts, in_flight: 1, committed_nano_usd: 0 }, NOW);
    assert!(view.peers().share_the_fault("ws-1", Cause::UpstreamError, since));
}

#[test]
fn a_job_that_an_account_cannot_pay_for_goes_to_another_first() {
    let mut world = pool_of(2);
    world.hear_balance("ws-1", Some(5));
    world.accounts.get_mut(&1).unwrap().max_concurrency = 20;
    world.accounts.get_mut(&2).unwrap().max_concurrency = 20;
    let view = view_of(&world);
    let first =
        |cost| (0..50).map(|random| view.propose(APP, cost, random).accounts().next()).collect::<Vec<_>>();
    assert!(first(10).iter().all(|id| *id == Some(2)));
    assert!(first(5).contains(&Some(1)));
}

#[test]
fn the_best_of_one_tier_is_found_in_whatever_allow_list_it_stands() {
    let mut world = World::default();
    for id in 1..=MOST_CANDIDATES as AccountId {
        world.add(account(id, 10));
    }
    let allowed_apps = AllowList::new(vec!["fal-ai/flux/*".into()]);
    world.add(Account { allowed_apps, ..account(9, 20) });
    let view = view_of(&world);
    assert!((0..50).all(|random| view.propose(APP, 0, random).accounts().next() == Some(9)));
}

#[test]
fn a_small_pool_is_searched_for_its_least_loaded_to_the_last_account() {
    // All of one shelf: only the exact load tells them apart.
    let mut world = World::default();
    for id in 1..SMALL_POOL as AccountId {
        world.add(account(id, 100));
    }
    world.add(account(99, 200));
    let view = view_of(&world);
    assert!((0..100).all(|random| view.propose(APP, 0, random).accounts().next() == Some(99)));
}

#[test]
fn a_proposal_is_empty_where_nobody_can_be_leased_and_only_there() {
    let mut world = World::default();
    assert!(view_of(&world).propose(APP, 0, 1).is_empty());
    world.add(account(1, 5));
    assert!(!view_of(&world).propose(APP, 0, 1).is_empty());
}

#[test]
fn what_was_observed_keeps_an_account_in_its_tier_and_its_workspace() {
    let mut world = World::default();
    world.add(account(1, 9));
    let allowed_apps = AllowList::new(vec!["fal-ai/kokoro".into()]);
    let shared = |id| Account { workspace: "shared".into(), priority: 1, ..account(id, 2) };
    world.add(Account { allowed_apps: allowed_apps.clone(), ..shared(2) });
    world.add(Account { allowed_apps, ..shared(3) });
    let mut view = view_of(&world);
    let (workspace, accounts) = (&world.workspaces["shared"], [&world.accounts[&2], &world.accounts[&3]]);
    let accounts = accounts.map(Account::clone);
    view.observe(&Seen { workspace, accounts: &accounts, in_flight: 0, committed_nano_usd: 0 }, NOW);
    world.accounts.get_mut(&1).unwrap().status = AccountStatus::Disabled;
    observe(&mut view, &world, 1, 0);
    assert_eq!(view.refusal(APP, NOW).why, Why::NoneAllowed, "what is enabled may not run it");
    let kokoro = |view: &View| view.propose("fal-ai/kokoro", 0, 1).accounts().count();
    view.expect(2);
    assert_eq!(kokoro(&view), 2);
    view.expect(3);
    assert_eq!(kokoro(&view), 0, "the two share two slots");
}

#[test]
fn an_ordinary_lease_expected_of_an_account_leaves_its_siblings_due_key_to_be_tried() {
    let mut world = World::default();
    for id in [1, 2] {
        world.add(Account { workspace: "shared".into(), ..account(id, 9) });
    }
    let out = keypool::Out { cause: Cause::AuthFailed, since: NOW, until: NOW, probe: None };
    world.accounts.get_mut(&2).unwrap().key.out = Some(out);
    let mut view = view_of(&world);
    view.expect(1);
    assert_eq!(view.propose(APP, 0, 1).accounts().collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn credit_that_is_used_up_speaks_against_an_account_once() {
    let mut world = World::default();
    for id in [1, 2] {
        world.add(account(id, 10));
    }
    world.hear_balance("ws-1", Some(0));
    let mut view = view_of(&world);
    let first = |view: &View| view.propose(APP, 10, 1).accounts().next();
    // Exhausted is as a whole account busier; ten slots later the other is as bad.
    let exhausted = keypool::score::FULL;
    let share = keypool::score::utilisation(9, 10, 100) - keypool::score::utilisation(0, 10, 100);
    assert!(share < exhausted);
    observe(&mut view, &world, 2, 9);
    assert_eq!(first(&view), Some(2));
    let mut failing = world.workspaces["ws-2"].clone();
    failing.vitals.error_permille = 200;
    failing.vitals.report_time = NOW;
    let accounts = std::slice::from_ref(&world.accounts[&2]);
    view.observe(&Seen { workspace: &failing, accounts, in_flight: 9, committed_nano_usd: 0 }, NOW);
    assert_eq!(first(&view), Some(1));
}

#[test]
fn the_typical_time_of_a_job_is_the_median_of_the_workspaces_that_know_one() {
    let mut world = pool_of(6);
    assert_eq!(view_of(&world).peers().typical_latency_micros, None);
    for (id, latency) in [(1, 90), (2, 30), (3, 50), (4, 10), (5, 70)] {
        world.workspaces.get_mut(&*format!("ws-{id}")).unwrap().vitals.latency_micros = Some(latency);
    }
    assert_eq!(view_of(&world).peers().typical_latency_micros, Some(50));
}

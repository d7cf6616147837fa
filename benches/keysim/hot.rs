//! What a proposal costs in-process, on a pool of 10,000 accounts.

use std::hint::black_box;
use std::time::Instant;

use scrip::keypool::{Account, AccountStatus, AllowList, Circuit, Seen, Settings, View, Workspace};
use scrip::ledger::{Micros, Text};

use super::random::Random;

const ACCOUNTS: i64 = 10_000;
const ROUNDS: usize = 2_000_000;
const NOW: Micros = Micros(1_760_000_000_000_000);

/// Nanoseconds of one call, on the mean.
pub struct Costs {
    /// Proposing candidates.
    pub propose: f64,
    /// Proposing, and observing that the best was taken or another given back.
    pub with_observe: f64,
    /// Reading the whole pool anew, once a second and replica.
    pub refresh: f64,
}

/// Measures on this machine's clock; all else in this bench is virtual time.
pub fn measure(seed: u64) -> Costs {
    let mut random = Random::of(seed, 9, 0);
    let rows: Vec<(Workspace, Account)> = (1..=ACCOUNTS).map(|id| row(id, &mut random)).collect();
    let mut in_flight: Vec<u32> =
        rows.iter().map(|(_, account)| random.below(account.max_concurrency as usize + 1) as u32).collect();
    let seen = |rows: &[(Workspace, Account)], in_flight: &[u32], view: &mut View| {
        let all = rows.iter().zip(in_flight).map(|((workspace, account), in_flight)| Seen {
            workspace,
            accounts: std::slice::from_ref(account),
            in_flight: *in_flight,
            committed_nano_usd: 0,
        });
        view.refresh(all, NOW);
    };
    let mut view = View::new(Settings::default());
    let refresh = per_call(100, || seen(&rows, &in_flight, &mut view));
    let propose = per_call(ROUNDS, || {
        black_box(view.propose("fal-ai/flux/dev", 1, random.number()));
    });
    let with_observe = per_call(ROUNDS, || {
        let best = view.propose("fal-ai/flux/dev", 1, random.number()).accounts().next();
        let given_back = random.below(rows.len());
        // By turns one lease is given and one given back, so that the pool stays as full as it was.
        let (at, by) = match best {
            Some(best) if random.number().is_multiple_of(2) => ((best - 1) as usize, 1),
            _ => (given_back, -1),
        };
        in_flight[at] = in_flight[at].saturating_add_signed(by);
        let (workspace, account) = &rows[at];
        let accounts = std::slice::from_ref(account);
        view.observe(&Seen { workspace, accounts, in_flight: in_flight[at], committed_nano_usd: 0 }, NOW);
    });
    Costs { propose, with_observe, refresh }
}

fn row(id: i64, random: &mut Random) -> (Workspace, Account) {
    let name: Text = format!("ws-{id}").into();
    let account = Account {
        account_id: id,
        name: name.clone(),
        workspace: name.clone(),
        key_id: name.clone(),
        billing_key_id: None,
        status: AccountStatus::Enabled,
        max_concurrency: [2, 5, 10, 20, 40][random.below(5)],
        priority: 0,
        weight: 100,
        allowed_apps: AllowList::default(),
        remark: "".into(),
        use_cnt: 0,
        error_cnt: 0,
        create_time: NOW,
        update_time: NOW,
        key: Circuit::default(),
    };
    (Workspace::new(name), account)
}

#[allow(clippy::disallowed_methods, reason = "what is measured here is real time")]
fn per_call(rounds: usize, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..rounds).for_each(|_| call());
    start.elapsed().as_nanos() as f64 / rounds as f64
}

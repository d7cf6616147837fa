//! Callers that charge again and again, whatever happens to servers and databases meanwhile, and what must be there after.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

use crate::support::client::{Scrip, charge};
use crate::support::eventually;

/// Users 1 to 4.
pub const USERS: i64 = 4;
/// What each of them has at first.
pub const FUNDS: i64 = 1_000_000;

/// Callers that charge 1 point again and again, each task under its own id, resending what was not answered.
pub struct Load {
    callers: JoinSet<Vec<(i64, String)>>,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// `channels` are dialled lazily, so that callers outlive a server that is killed.
    pub fn start(round: usize, channels: Vec<Channel>, keep_trying: bool) -> Load {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for (caller, channel) in channels.into_iter().enumerate() {
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            callers.spawn(async move {
                let mut billing = BillingServiceClient::new(channel);
                let user_id = i64::try_from(caller).unwrap() % USERS + 1;
                let mut charged = Vec::new();
                'tasks: for n in 0.. {
                    let task_id = format!("r{round}-c{caller}-{n}");
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // Until it is known: a caller that stops leaves no charge behind whose outcome it does not know.
                    loop {
                        match billing.charge(charge(user_id, &task_id, 1)).await {
                            Ok(_) => {
                                charged.push((user_id, task_id));
                                acknowledged.fetch_add(1, Ordering::Relaxed);
                                continue 'tasks;
                            }
                            Err(status) => assert!(worth_retrying(&status), "{status:?}"),
                        }
                        if !keep_trying {
                            break 'tasks;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                charged
            });
        }
        Load { callers, acknowledged, stop }
    }

    /// How many charges were answered so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub async fn until(&self, acknowledged: u64) {
        eventually("charges flow", || async { self.acknowledged() >= acknowledged }).await;
    }

    pub async fn stop(self) -> Vec<(i64, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.callers.join_all().await.into_iter().flatten().collect()
    }

    /// For callers that give up by themselves.
    pub async fn end(self) -> Vec<(i64, String)> {
        self.callers.join_all().await.into_iter().flatten().collect()
    }
}

fn worth_retrying(status: &tonic::Status) -> bool {
    // A connection that breaks under a call is UNKNOWN or CANCELLED in this client.
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::ResourceExhausted
            | Code::DeadlineExceeded
    )
}

/// Gives every user what it may spend.
pub async fn fund(scrip: &mut Scrip) {
    for user_id in 1..=USERS {
        scrip.credit(user_id, FUNDS, pb::Purse::Points, &format!("fund-{user_id}")).await;
    }
}

/// Every acknowledged charge is there, the sums say so, and the books agree.
pub async fn check(scrip: &mut Scrip, acknowledged: &[(i64, String)]) {
    for (user_id, task_id) in acknowledged {
        let task = scrip.task(task_id).await;
        assert_eq!((task.user_id, task.money), (*user_id, 1), "{task_id} was acknowledged");
    }
    let (code, output) = scrip.verify().await;
    assert_eq!(code, Some(0), "{output}");
    for user_id in 1..=USERS {
        let spent = FUNDS - scrip.balance(user_id).await.total;
        let known = acknowledged.iter().filter(|(owner, _)| *owner == user_id).count();
        assert!(
            spent >= i64::try_from(known).unwrap(),
            "user {user_id}: {spent} spent, {known} acknowledged"
        );
    }
}

/// As [`check`], of callers that stopped: whatever they sent was answered in the end, so that not a point more is gone.
pub async fn check_exactly(scrip: &mut Scrip, acknowledged: &[(i64, String)]) {
    check(scrip, acknowledged).await;
    for user_id in 1..=USERS {
        let spent = FUNDS - scrip.balance(user_id).await.total;
        let known = acknowledged.iter().filter(|(owner, _)| *owner == user_id).count();
        assert_eq!(spent, i64::try_from(known).unwrap(), "user {user_id}");
    }
}

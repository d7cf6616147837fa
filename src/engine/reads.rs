//! Reads that many ask for at once: concurrent balance reads share one statement. Nothing is cached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::EngineError;
use super::error::logged;
use crate::ledger::{User, UserId};
use crate::meter::{self, Meters, TraceId, traced};
#[cfg(feature = "mutants")]
use crate::mutants::{self, Mutant};
use crate::store::Reader;

/// Balance reads that may wait for a statement, and how many one statement answers.
const WAITING: usize = 16_384;
const TOGETHER: usize = 1_024;

/// Whose balance, a part of which trace, and where the answer goes.
type Ask = (UserId, Option<TraceId>, oneshot::Sender<Result<Option<User>, EngineError>>);

/// The way to a coalesced balance read.
#[derive(Clone)]
pub(super) struct Balances(mpsc::Sender<Ask>);

impl Balances {
    pub(super) async fn user(&self, user_id: UserId) -> Result<Option<User>, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.0.try_send((user_id, meter::trace(), reply)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                EngineError::Overloaded { retry_after: Duration::from_millis(100) }
            }
            mpsc::error::TrySendError::Closed(_) => EngineError::ShuttingDown,
        })?;
        answer.await.unwrap_or(Err(EngineError::ShuttingDown))
    }
}

pub(super) fn spawn(tasks: &TaskTracker, reader: Arc<dyn Reader>, closing: CancellationToken) -> Balances {
    let (sender, receiver) = mpsc::channel(WAITING);
    tasks.spawn(serve(reader, receiver, closing));
    Balances(sender)
}

/// Takes whatever waits, reads it in one statement, answers, and takes the next.
async fn serve(reader: Arc<dyn Reader>, mut asks: mpsc::Receiver<Ask>, closing: CancellationToken) {
    let mut waiting = Vec::with_capacity(TOGETHER);
    loop {
        tokio::select! {
            biased;
            () = closing.cancelled(), if !asks.is_closed() => asks.close(),
            taken = asks.recv_many(&mut waiting, TOGETHER) => {
                if taken == 0 {
                    return;
                }
                let trace = waiting[0].1;
                traced(trace, answer(&*reader, &mut waiting)).await;
            }
        }
    }
}

async fn answer(reader: &dyn Reader, waiting: &mut Vec<Ask>) {
    let mut user_ids: Vec<UserId> = waiting.iter().map(|(user_id, ..)| *user_id).collect();
    user_ids.sort_unstable();
    user_ids.dedup();
    let users = reader.users(&user_ids).await.map_err(|error| logged(&error));
    #[cfg(feature = "mutants")]
    let users = users.map(|users| {
        if mutants::on(Mutant::StaleBalance) {
            users.into_iter().map(mutants::old_balance).collect()
        } else {
            users
        }
    });
    let users: Result<BTreeMap<UserId, User>, _> =
        users.map(|users| users.into_iter().map(|user| (user.user_id, user)).collect());
    for (user_id, _, reply) in waiting.drain(..) {
        // A caller that went away has nobody to tell.
        let _ = reply.send(users.as_ref().map(|users| users.get(&user_id).copied()).map_err(Clone::clone));
    }
}

/// Asks the database regularly whether it is there, for health and readiness.
pub(super) async fn probe(
    reader: Arc<dyn Reader>,
    every: Duration,
    (up, meters): (watch::Sender<bool>, Meters),
    stopping: CancellationToken,
) {
    loop {
        let is_up = match reader.probe().await {
            Ok(()) => true,
            Err(error) => {
                if *up.borrow() {
                    logged(&error);
                }
                false
            }
        };
        meters.database().is_up(is_up);
        up.send_if_modified(|was_up| std::mem::replace(was_up, is_up) != is_up);
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
    }
}

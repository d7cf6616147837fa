//! The Σ check: what every user had, less what was acknowledged, is what every user has.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt, TryStreamExt};

use super::Client;
use super::load::{Load, Plan};
use crate::cli::failure::Failure;
use crate::pb::{Balance, CreditRequest, GetBalanceRequest, Purse, SourceType};

/// Calls at once: enough to be quick, few enough not to be load.
const TOGETHER: usize = 32;
/// Points each user starts with: the most one credit takes.
const START: i64 = 1_000_000_000_000;

/// What the check found.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) users: usize,
    pub(super) points: i64,
    /// User, expected and found, where they differ.
    pub(super) wrong: Vec<(i64, i64, i64)>,
    /// Charges whose outcome stayed unknown: users with one may differ by it.
    pub(super) unknown: usize,
}

impl Sum {
    pub(super) const fn is_exact(&self) -> bool {
        self.wrong.is_empty() && self.unknown == 0
    }
}

/// Creates the users; answers what each has.
pub(super) async fn credit(clients: &[Client], plan: &Plan) -> Result<BTreeMap<i64, i64>, Failure> {
    each_user(clients, plan, |mut client, user_id| {
        let request = CreditRequest {
            request_id: format!("bench-{}", plan.run),
            user_id,
            amount: START,
            purse: Purse::Points.into(),
            source_type: SourceType::System.into(),
            title: "bench".to_owned(),
            ..CreditRequest::default()
        };
        async move {
            let answer = client.credit(request).await.map_err(|refused| refused.message().to_owned())?;
            Ok(answer.into_inner().balance)
        }
    })
    .await
}

/// Compares every balance with what it must be.
pub(super) async fn check(
    clients: &[Client],
    plan: &Plan,
    before: &BTreeMap<i64, i64>,
    load: &Load,
) -> Result<Sum, Failure> {
    let after = each_user(clients, plan, |mut client, user_id| async move {
        let request = GetBalanceRequest { user_id, as_of_time: None };
        let answer = client.get_balance(request).await.map_err(|refused| refused.message().to_owned())?;
        Ok(answer.into_inner().balance)
    })
    .await?;
    let mut sum = Sum { users: after.len(), unknown: load.unknown.len(), ..Sum::default() };
    for (user_id, found) in after {
        let charged = load.points.get(&user_id).copied().unwrap_or_default();
        let expected = before.get(&user_id).copied().unwrap_or_default().saturating_sub(charged);
        sum.points = sum.points.saturating_add(charged);
        if expected != found {
            sum.wrong.push((user_id, expected, found));
        }
    }
    Ok(sum)
}

/// One call for each user; answers each user's total.
async fn each_user<A>(
    clients: &[Client],
    plan: &Plan,
    ask: impl Fn(Client, i64) -> A,
) -> Result<BTreeMap<i64, i64>, Failure>
where
    A: Future<Output = Result<Option<Balance>, String>>,
{
    let asked = plan.user_ids().zip(clients.iter().cycle()).map(|(user_id, client)| {
        let answer = ask(client.clone(), user_id);
        async move {
            match answer.await {
                Ok(Some(balance)) => Ok((user_id, balance.total)),
                Ok(None) => Err(Failure::CouldNotRun(format!("no balance was answered for user {user_id}"))),
                Err(why) => Err(Failure::CouldNotRun(format!("user {user_id}: {why}"))),
            }
        }
    });
    stream::iter(asked).buffer_unordered(TOGETHER).try_collect().await
}

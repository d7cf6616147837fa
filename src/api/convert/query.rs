//! Requests that read: each becomes a query and, for a list, a place in it.
//!
//! Reads do not pass the ledger's checks, so they are held to the same limits here.

use super::enums;
use super::time;
use crate::api::page::Paging;
use crate::engine::rows::{EntryQuery, FinancialQuery, PointsQuery, TaskQuery};
use crate::ledger::command::UNRESOLVED;
use crate::ledger::limits::{Checks, ID_CHARS, LINE_CHARS, Limits, NAME_CHARS};
use crate::ledger::{Micros, Rejection, Text, UserId};
use crate::pb;

/// Reads one request: `read` notes what is wrong, and only what is sound comes out.
fn checked<T>(limits: &Limits, read: impl FnOnce(&mut Checks<'_>) -> T) -> Result<T, Rejection> {
    let mut checks = Checks::new(limits);
    let value = read(&mut checks);
    checks.finish().map_err(Rejection::InvalidField)?;
    Ok(value)
}

/// Takes the paging out of a list request: what is left of it is the query.
macro_rules! paging {
    ($method:literal, $request:ident, $checks:ident) => {{
        let page_size = std::mem::take(&mut $request.page_size);
        let page_token = std::mem::take(&mut $request.page_token);
        Paging::read($method, &$request, page_size, &page_token, $checks)
    }};
}

pub(in crate::api) fn task(
    request: pb::GetTaskRequest,
    limits: &Limits,
) -> Result<pb::GetTaskRequest, Rejection> {
    checked(limits, |checks| {
        if request.user_id != UNRESOLVED {
            checks.user_id(request.user_id);
        }
        checks.required_id("task_id", &request.task_id, ID_CHARS);
    })?;
    Ok(request)
}

pub(in crate::api) fn balance(
    request: &pb::GetBalanceRequest,
    limits: &Limits,
) -> Result<(UserId, Option<Micros>), Rejection> {
    checked(limits, |checks| {
        checks.user_id(request.user_id);
        (request.user_id, time::until("as_of_time", request.as_of_time, checks))
    })
}

pub(in crate::api) fn entries(
    mut request: pb::ListEntriesRequest,
    limits: &Limits,
) -> Result<(EntryQuery, Paging<1>), Rejection> {
    checked(limits, |checks| {
        checks.user_id(request.user_id);
        let paging = paging!("ListEntries", request, checks);
        let query = EntryQuery {
            user_id: request.user_id,
            purse: enums::read::<pb::Purse>("purse", request.purse, checks),
            operation: enums::read::<pb::Operation>("operation", request.operation, checks),
            order_id: only("order_id", request.order_id, LINE_CHARS, checks),
            range: time::range(request.start_time, request.end_time, checks),
        };
        (query, paging)
    })
}

pub(in crate::api) fn points_details(
    mut request: pb::ListPointsDetailsRequest,
    limits: &Limits,
) -> Result<(PointsQuery, Paging<1>), Rejection> {
    checked(limits, |checks| {
        checks.user_id(request.user_id);
        let paging = paging!("ListPointsDetails", request, checks);
        let query = PointsQuery {
            user_id: request.user_id,
            source_type: enums::read::<pb::SourceType>("source_type", request.source_type, checks),
            order_id: only("order_id", request.order_id, LINE_CHARS, checks),
            range: time::range(request.start_time, request.end_time, checks),
        };
        (query, paging)
    })
}

pub(in crate::api) fn financial_transactions(
    mut request: pb::ListFinancialTransactionsRequest,
    limits: &Limits,
) -> Result<(FinancialQuery, Paging<1>), Rejection> {
    checked(limits, |checks| {
        checks.user_id(request.user_id);
        let paging = paging!("ListFinancialTransactions", request, checks);
        let query = FinancialQuery {
            user_id: request.user_id,
            order_id: only("order_id", request.order_id, LINE_CHARS, checks),
            range: time::range(request.start_time, request.end_time, checks),
        };
        (query, paging)
    })
}

pub(in crate::api) fn users(
    mut request: pb::ListUsersRequest,
    limits: &Limits,
) -> Result<Paging<2>, Rejection> {
    checked(limits, |checks| paging!("ListUsers", request, checks))
}

pub(in crate::api) fn accounts(
    mut request: pb::ListAccountsRequest,
    limits: &Limits,
) -> Result<Paging<1>, Rejection> {
    checked(limits, |checks| paging!("ListAccounts", request, checks))
}

pub(in crate::api) fn tasks(
    mut request: pb::ListTasksRequest,
    limits: &Limits,
) -> Result<(TaskQuery, Paging<1>), Rejection> {
    checked(limits, |checks| {
        let user_id = (request.user_id != 0).then_some(request.user_id);
        if let Some(user_id) = user_id {
            checks.user_id(user_id);
        }
        checks.key_id(&request.key_id);
        let paging = paging!("ListTasks", request, checks);
        let query = TaskQuery {
            user_id,
            status: enums::read::<pb::TaskStatus>("status", request.status, checks),
            app_name: only("app_name", request.app_name, NAME_CHARS, checks),
            key_id: given(request.key_id),
            range: time::range(request.start_time, request.end_time, checks),
        };
        (query, paging)
    })
}

/// A condition on an id; an empty one is none.
fn only(field: &'static str, id: String, max_chars: usize, checks: &mut Checks<'_>) -> Option<Text> {
    checks.id(field, &id, max_chars);
    given(id)
}

fn given(id: String) -> Option<Text> {
    (!id.is_empty()).then(|| Text::from(id))
}

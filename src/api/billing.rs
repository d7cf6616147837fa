//! `scrip.v1.BillingService`: each handler hands its request on and the answer back.

use tonic::{Request, Response, Status};

use super::convert::{self, query};
use super::{Api, actor, caller, deadline, note, status};
use crate::engine::rows::UserCursor;
use crate::ledger::{Micros, Rejection};
use crate::pb;
use crate::pb::billing_service_server::BillingService;

#[tonic::async_trait]
impl BillingService for Api {
    async fn charge(
        &self,
        request: Request<pb::ChargeRequest>,
    ) -> Result<Response<pb::ChargeResponse>, Status> {
        self.write(request).await
    }

    async fn batch_charge(
        &self,
        request: Request<pb::BatchChargeRequest>,
    ) -> Result<Response<pb::BatchChargeResponse>, Status> {
        let (deadline, caller) = (deadline(&request), caller(&request)?);
        let actor = actor(&caller);
        let pb::BatchChargeRequest { requests, atomic, full_results } = request.into_inner();
        let max = self.limits().max_batch_items;
        if requests.len() > max {
            // Said before each is converted: the engine would refuse the call, too.
            let many = format!("must not be more than {max} items, are {}", requests.len());
            return Err(Rejection::field("requests", many).into());
        }
        for item in &requests {
            caller.touch(item.user_id)?;
        }
        let items = requests.into_iter().map(|item| self.check(item, &actor)).collect();
        let outcomes = self.handle.submit_batch(items, atomic, deadline).await?;
        let results = outcomes.into_iter().map(|outcome| {
            let result = match outcome {
                Ok(answer) => {
                    pb::batch_charge_result::Result::Charge(convert::charged(&answer, full_results))
                }
                Err(rejection) => pb::batch_charge_result::Result::Error(status::of_item(&rejection)),
            };
            pb::BatchChargeResult { result: Some(result) }
        });
        Ok(Response::new(pb::BatchChargeResponse { results: results.collect() }))
    }

    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        self.write(request).await
    }

    async fn capture(
        &self,
        request: Request<pb::CaptureRequest>,
    ) -> Result<Response<pb::CaptureResponse>, Status> {
        self.write(request).await
    }

    async fn void(&self, request: Request<pb::VoidRequest>) -> Result<Response<pb::VoidResponse>, Status> {
        self.write(request).await
    }

    async fn refund(
        &self,
        request: Request<pb::RefundRequest>,
    ) -> Result<Response<pb::RefundResponse>, Status> {
        self.write(request).await
    }

    async fn credit(
        &self,
        request: Request<pb::CreditRequest>,
    ) -> Result<Response<pb::CreditResponse>, Status> {
        self.write(request).await
    }

    async fn debit(&self, request: Request<pb::DebitRequest>) -> Result<Response<pb::DebitResponse>, Status> {
        self.write(request).await
    }

    async fn get_balance(
        &self,
        request: Request<pb::GetBalanceRequest>,
    ) -> Result<Response<pb::GetBalanceResponse>, Status> {
        note(&request).user(request.get_ref().user_id);
        let caller = caller(&request)?;
        let (user_id, at) = query::balance(request.get_ref(), self.limits())?;
        caller.touch(user_id)?;
        let balance = match at {
            None => self.handle.balance(user_id).await?.map(|user| convert::balance(&user)),
            Some(at) => {
                let past = self.handle.balance_at(user_id, at).await?;
                past.map(|past| convert::past_balance(user_id, &past))
            }
        };
        let balance = balance.ok_or(Rejection::UserNotFound(user_id))?;
        Ok(Response::new(pb::GetBalanceResponse { balance: Some(balance) }))
    }

    async fn list_entries(
        &self,
        request: Request<pb::ListEntriesRequest>,
    ) -> Result<Response<pb::ListEntriesResponse>, Status> {
        note(&request).user(request.get_ref().user_id);
        let caller = caller(&request)?;
        let (query, paging) = query::entries(request.into_inner(), self.limits())?;
        caller.touch(query.user_id)?;
        let rows = self.handle.list_entries(&query, paging.first()).await?;
        let (rows, next_page_token) = paging.cut(rows, |entry| [entry.user_seq]);
        let entries = rows.iter().map(convert::entry).collect();
        Ok(Response::new(pb::ListEntriesResponse { entries, next_page_token }))
    }

    async fn list_points_details(
        &self,
        request: Request<pb::ListPointsDetailsRequest>,
    ) -> Result<Response<pb::ListPointsDetailsResponse>, Status> {
        note(&request).user(request.get_ref().user_id);
        let caller = caller(&request)?;
        let (query, paging) = query::points_details(request.into_inner(), self.limits())?;
        caller.touch(query.user_id)?;
        let rows = self.handle.list_points_details(&query, paging.first()).await?;
        let (rows, next_page_token) = paging.cut(rows, |(place, _)| [*place]);
        let points_details = rows.into_iter().map(|(_, row)| row.into()).collect();
        Ok(Response::new(pb::ListPointsDetailsResponse { points_details, next_page_token }))
    }

    async fn list_financial_transactions(
        &self,
        request: Request<pb::ListFinancialTransactionsRequest>,
    ) -> Result<Response<pb::ListFinancialTransactionsResponse>, Status> {
        note(&request).user(request.get_ref().user_id);
        let caller = caller(&request)?;
        let (query, paging) = query::financial_transactions(request.into_inner(), self.limits())?;
        caller.touch(query.user_id)?;
        let rows = self.handle.list_financial_transactions(&query, paging.first()).await?;
        let (rows, next_page_token) = paging.cut(rows, |(place, _)| [*place]);
        let financial_transactions = rows.into_iter().map(|(_, row)| row.into()).collect();
        Ok(Response::new(pb::ListFinancialTransactionsResponse { financial_transactions, next_page_token }))
    }

    async fn list_users(
        &self,
        request: Request<pb::ListUsersRequest>,
    ) -> Result<Response<pb::ListUsersResponse>, Status> {
        caller(&request)?.touch_all()?;
        let paging = query::users(request.into_inner(), self.limits())?;
        let before = paging
            .after()
            .map(|[create_time, user_id]| UserCursor { create_time: Micros(create_time), user_id });
        let rows = self.handle.list_users(before, paging.fetch()).await?;
        let (rows, next_page_token) = paging.cut(rows, |user| [user.create_time.0, user.user_id]);
        let balances = rows.iter().map(convert::balance).collect();
        Ok(Response::new(pb::ListUsersResponse { balances, next_page_token }))
    }
}

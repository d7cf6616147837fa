//! `scrip.v1.KeyService`: each handler hands its request on and the answer back.

use prost::Message;
use tonic::{Request, Response, Status};

use super::convert::{account, query};
use super::task::PAGE_BYTES;
use super::{Api, actor, caller, deadline};
use crate::engine::{EngineError, KeyAnswer};
use crate::keypool::{Command, Done};
use crate::ledger::limits::{Checks, LINE_CHARS};
use crate::ledger::{Rejection, Text};
use crate::pb;
use crate::pb::key_service_server::KeyService;

#[tonic::async_trait]
impl KeyService for Api {
    async fn select_key(
        &self,
        request: Request<pb::SelectKeyRequest>,
    ) -> Result<Response<pb::SelectKeyResponse>, Status> {
        self.write(request).await
    }

    async fn renew_lease(
        &self,
        request: Request<pb::RenewLeaseRequest>,
    ) -> Result<Response<pb::RenewLeaseResponse>, Status> {
        let (deadline, caller) = (deadline(&request), caller(&request)?);
        let actor = actor(&caller);
        let pb::RenewLeaseRequest { lease_id, ttl } = request.into_inner();
        let mut checks = Checks::new(self.limits());
        let ttl_micros = account::ttl(ttl, &mut checks);
        checks.take()?;
        self.admit_lease(&caller, &lease_id).await?;
        let command = Command::Renew { lease_id: Text::from(lease_id), ttl_micros };
        let answer = self.handle.keys(command, "", &actor, deadline).await?;
        let lease = answer.lease.as_ref().map(super::convert::lease);
        Ok(Response::new(pb::RenewLeaseResponse { lease }))
    }

    async fn release_key(
        &self,
        request: Request<pb::ReleaseKeyRequest>,
    ) -> Result<Response<pb::ReleaseKeyResponse>, Status> {
        let (deadline, caller) = (deadline(&request), caller(&request)?);
        let actor = actor(&caller);
        let mut request = request.into_inner();
        let mut checks = Checks::new(self.limits());
        let report = account::report(&mut request, &mut checks);
        checks.take()?;
        self.admit_lease(&caller, &request.lease_id).await?;
        let named = (Text::from(request.lease_id), report);
        let answer = self.handle.release(named, &request.online_task_id, &actor, deadline).await?;
        let Done::Released(released) = &answer.done else { return Err(EngineError::Internal.into()) };
        Ok(Response::new(pb::ReleaseKeyResponse {
            account_health: account::of_health(released.health).into(),
            lease: answer.lease.as_ref().map(super::convert::lease),
            replayed: released.replayed,
        }))
    }

    async fn create_account(
        &self,
        request: Request<pb::CreateAccountRequest>,
    ) -> Result<Response<pb::CreateAccountResponse>, Status> {
        let (deadline, caller) = (deadline(&request), caller(&request)?);
        let actor = actor(&caller);
        let mut request = request.into_inner();
        let request_id = std::mem::take(&mut request.request_id);
        let mut checks = Checks::new(self.limits());
        let new = account::new_account(request, &mut checks, &|key, purpose| self.handle.seal(key, purpose))?;
        let answer = self.handle.keys(Command::Create(new), &request_id, &actor, deadline).await?;
        let (account, replayed) = described(answer)?;
        Ok(Response::new(pb::CreateAccountResponse { account, replayed }))
    }

    async fn update_account(
        &self,
        request: Request<pb::UpdateAccountRequest>,
    ) -> Result<Response<pb::UpdateAccountResponse>, Status> {
        let (deadline, caller) = (deadline(&request), caller(&request)?);
        let actor = actor(&caller);
        let request = request.into_inner();
        let request_id = request.request_id.clone();
        let reason = Text::from(request.reason.as_str());
        let mut checks = Checks::new(self.limits());
        let seal = |key, purpose| self.handle.seal(key, purpose);
        let (account_id, changes) = account::changes(request, &mut checks, &seal)?;
        let command = Command::Update { account_id, changes, reason };
        let answer = self.handle.keys(command, &request_id, &actor, deadline).await?;
        let (account, replayed) = described(answer)?;
        Ok(Response::new(pb::UpdateAccountResponse { account, replayed }))
    }

    async fn get_account(
        &self,
        request: Request<pb::GetAccountRequest>,
    ) -> Result<Response<pb::GetAccountResponse>, Status> {
        caller(&request)?.touch_all()?;
        let account_id = account_id(request.get_ref().account_id)?;
        let record = self.handle.account(account_id).await?.ok_or(Rejection::AccountNotFound(account_id))?;
        Ok(Response::new(pb::GetAccountResponse { account: Some(record.into()) }))
    }

    async fn list_accounts(
        &self,
        request: Request<pb::ListAccountsRequest>,
    ) -> Result<Response<pb::ListAccountsResponse>, Status> {
        caller(&request)?.touch_all()?;
        let paging = query::accounts(request.into_inner(), self.limits())?;
        let rows = self.handle.list_accounts(paging.first()).await?;
        let is_end = rows.len() <= paging.size();
        let accounts = rows.into_iter().take(paging.size()).map(pb::Account::from);
        let (accounts, is_whole) = light(accounts);
        let last = accounts.last().map(|account| [account.account_id]);
        let next_page_token =
            last.filter(|_| !(is_end && is_whole)).map(|last| paging.token(last)).unwrap_or_default();
        Ok(Response::new(pb::ListAccountsResponse { accounts, next_page_token }))
    }

    async fn delete_account(
        &self,
        request: Request<pb::DeleteAccountRequest>,
    ) -> Result<Response<pb::DeleteAccountResponse>, Status> {
        let (deadline, caller) = (deadline(&request), caller(&request)?);
        let actor = actor(&caller);
        let pb::DeleteAccountRequest { request_id, account_id: id, reason } = request.into_inner();
        let account_id = account_id(id)?;
        let mut checks = Checks::new(self.limits());
        checks.line("reason", &reason, LINE_CHARS);
        checks.take()?;
        let command = Command::Delete { account_id, reason: Text::from(reason) };
        let answer = self.handle.keys(command, &request_id, &actor, deadline).await?;
        let (account, replayed) = described(answer)?;
        Ok(Response::new(pb::DeleteAccountResponse { account, replayed }))
    }
}

/// As many accounts as a page may weigh, and whether these are all: their lists of models may be long.
fn light(accounts: impl Iterator<Item = pb::Account>) -> (Vec<pb::Account>, bool) {
    let mut bytes = 0;
    let mut page: Vec<pb::Account> = Vec::new();
    for account in accounts {
        bytes += account.encoded_len();
        if bytes > PAGE_BYTES && !page.is_empty() {
            return (page, false);
        }
        page.push(account);
    }
    (page, true)
}

/// The account that a command was about.
fn described(answer: KeyAnswer) -> Result<(Option<pb::Account>, bool), Status> {
    let Done::Account(described) = answer.done else { return Err(EngineError::Internal.into()) };
    let replayed = described.replayed;
    Ok((Some((*described).into()), replayed))
}

fn account_id(account_id: i64) -> Result<i64, Status> {
    if account_id < 1 {
        return Err(Rejection::field("account_id", "must be 1 or more").into());
    }
    Ok(account_id)
}

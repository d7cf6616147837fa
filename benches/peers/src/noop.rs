//! Contender d: a tonic server that answers GetBalance with what it was asked. Nothing behind tonic can be faster.

use std::process::ExitCode;

use tonic::Status;

use crate::pb::{Balance, GetBalanceRequest, GetBalanceResponse};
use crate::unary::{self, Method};

struct Noop;

impl Method for Noop {
    type Request = GetBalanceRequest;
    type Response = GetBalanceResponse;

    async fn answer(&self, request: GetBalanceRequest) -> Result<GetBalanceResponse, Status> {
        let balance = Balance {
            user_id: request.user_id,
            points: 1,
            total: 1,
            available: Some(1),
            ..Balance::default()
        };
        Ok(GetBalanceResponse { balance: Some(balance) })
    }
}

pub async fn serve() -> ExitCode {
    unary::serve(Noop).await
}

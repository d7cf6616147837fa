//! Contender b: a charge as most would write it. A handler takes a connection of a pool, and runs the five statements
//! of one transaction in it, one after the other.

use std::process::ExitCode;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Connection, Row};
use tonic::Status;

use crate::pb::{Balance, ChargeRequest, ChargeResponse};
use crate::unary::{self, Method};

/// sqlx's own default. More connections were tried: on two cores they are slower.
const CONNECTIONS: u32 = 10;

const LOCK: &str = "SELECT points_balance, entry_seq FROM ts_users WHERE id = $1 FOR UPDATE";
const TASK: &str = "INSERT INTO ts_fal_tasks \
    (user_id, task_id, app_name, status, money, created_at, charged_points, fingerprint, charge_seq) \
    VALUES ($1, $2, $3, 'pending', $4, now(), $4, $5, $6)";
const FINANCIAL: &str = "INSERT INTO ts_financial_transactions \
    (user_id, user_seq, money, order_id, \"time\", transaction_type, is_cash, operation, source_type, balance_before, \
     balance_after, actor, entry_hash) \
    VALUES ($1, $2, -$3, $4, now(), 1, 0, 'charge', 'consume', $5, $6, 'bench', $7)";
const POINTS: &str = "INSERT INTO ts_points_detail \
    (user_id, user_seq, points, order_id, source_type, balance_before, balance_after, created_at, actor) \
    VALUES ($1, $2, -$3, $4, 'consume', $5, $6, now(), 'bench')";
const USER: &str = "UPDATE ts_users SET points_balance = $2, entry_seq = $3, chain_hash = $4, last_entry_at = now(), \
    updated_at = now() WHERE id = $1";

struct Naive(PgPool);

impl Naive {
    async fn charge(&self, charge: &ChargeRequest) -> Result<Balance, sqlx::Error> {
        let mut connection = self.0.acquire().await?;
        let mut transaction = connection.begin().await?;
        let user = sqlx::query(LOCK).bind(charge.user_id).fetch_one(&mut *transaction).await?;
        let (before, seq): (i64, i64) = (user.get(0), user.get::<i64, _>(1) + 1);
        let after = before - charge.amount;
        let digest = [7_u8; 32];
        sqlx::query(TASK)
            .bind(charge.user_id)
            .bind(&charge.task_id)
            .bind(&charge.app_name)
            .bind(charge.amount)
            .bind(&digest[..])
            .bind(seq)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(FINANCIAL)
            .bind(charge.user_id)
            .bind(seq)
            .bind(charge.amount)
            .bind(&charge.task_id)
            .bind(before)
            .bind(after)
            .bind(&digest[..])
            .execute(&mut *transaction)
            .await?;
        sqlx::query(POINTS)
            .bind(charge.user_id)
            .bind(seq)
            .bind(charge.amount)
            .bind(&charge.task_id)
            .bind(before)
            .bind(after)
            .execute(&mut *transaction)
            .await?;
        let update = sqlx::query(USER).bind(charge.user_id).bind(after).bind(seq).bind(&digest[..]);
        update.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Balance { user_id: charge.user_id, points: after, total: after, ..Balance::default() })
    }
}

impl Method for Naive {
    type Request = ChargeRequest;
    type Response = ChargeResponse;

    async fn answer(&self, request: ChargeRequest) -> Result<ChargeResponse, Status> {
        let balance = self.charge(&request).await.map_err(|why| Status::internal(why.to_string()))?;
        Ok(ChargeResponse { balance: Some(balance), ..ChargeResponse::default() })
    }
}

pub async fn serve(url: &str) -> ExitCode {
    match PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await {
        Ok(pool) => unary::serve(Naive(pool)).await,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

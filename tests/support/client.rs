//! A caller of the running service, as another microservice would write it: the generated clients, and short ways to
//! say the calls that tests make again and again.

use std::collections::HashMap;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use scrip::pb::key_service_client::KeyServiceClient;
use scrip::pb::task_service_client::TaskServiceClient;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::server::{Launch, ScripProcess};
use super::{postgres, server};

/// What seals secrets on PostgreSQL, where it must be given; on SQLite the server makes one of its own.
pub const KEK: &str = "tests:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A server of its own on a database of its own, and clients of it.
pub struct Scrip {
    pub server: ScripProcess,
    pub database_url: String,
    pub billing: BillingServiceClient<Channel>,
    pub tasks: TaskServiceClient<Channel>,
    pub keys: KeyServiceClient<Channel>,
    _directory: Option<TempDir>,
}

impl Scrip {
    /// On a new SQLite file.
    pub async fn on_sqlite() -> Scrip {
        let directory = tempfile::tempdir().expect("a directory");
        let url = format!("sqlite://{}", directory.path().join("scrip.db").display());
        Scrip::on(Launch::new(&url), url, Some(directory)).await
    }

    /// On a new PostgreSQL database; `None` where PostgreSQL is left out, which has then been said aloud.
    pub async fn on_postgres() -> Option<Scrip> {
        let url = postgres::shared()?.fresh_database().await;
        Some(Scrip::on(Launch::new(&url).env("SCRIP_KEK", KEK), url, None).await)
    }

    pub async fn on(launch: server::Launch, database_url: String, directory: Option<TempDir>) -> Scrip {
        let server = launch.start().await;
        let channel = server.channel().await;
        let billing = BillingServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);
        let tasks = TaskServiceClient::new(channel.clone()).max_decoding_message_size(64 << 20);
        let keys = KeyServiceClient::new(channel);
        Scrip { server, database_url, billing, tasks, keys, _directory: directory }
    }

    pub async fn credit(
        &mut self,
        user_id: i64,
        amount: i64,
        purse: pb::Purse,
        request_id: &str,
    ) -> pb::CreditResponse {
        let request = credit(user_id, amount, purse, request_id);
        self.billing.credit(request).await.expect("the credit is accepted").into_inner()
    }

    /// 1,000 points, or whatever is asked, for a new user.
    pub async fn with_points(&mut self, user_id: i64, amount: i64) {
        self.credit(user_id, amount, pb::Purse::Points, &format!("open-{user_id}")).await;
    }

    pub async fn charge(&mut self, user_id: i64, task_id: &str, amount: i64) -> pb::ChargeResponse {
        self.billing
            .charge(charge(user_id, task_id, amount))
            .await
            .expect("the charge is accepted")
            .into_inner()
    }

    pub async fn balance(&mut self, user_id: i64) -> pb::Balance {
        let request = pb::GetBalanceRequest { user_id, as_of_time: None };
        self.billing
            .get_balance(request)
            .await
            .expect("a balance")
            .into_inner()
            .balance
            .expect("a balance is set")
    }

    pub async fn task(&mut self, task_id: &str) -> pb::Task {
        let request = pb::GetTaskRequest { task_id: task_id.into(), user_id: 0 };
        self.tasks.get_task(request).await.expect("a task").into_inner().task.expect("a task is set")
    }

    pub async fn entries(&mut self, user_id: i64) -> Vec<pb::Entry> {
        let request = pb::ListEntriesRequest { user_id, page_size: 1000, ..Default::default() };
        self.billing.list_entries(request).await.expect("entries").into_inner().entries
    }

    /// What `scrip verify` says of the database: its exit code and its output.
    pub async fn verify(&self) -> (Option<i32>, String) {
        verify(&self.database_url).await
    }
}

/// What `scrip verify` says of a database: its exit code and its output.
pub async fn verify(database_url: &str) -> (Option<i32>, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_scrip"))
        .arg("verify")
        .env("SCRIP_DATABASE_URL", database_url)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .expect("verify runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

pub fn credit(user_id: i64, amount: i64, purse: pb::Purse, request_id: &str) -> pb::CreditRequest {
    pb::CreditRequest {
        request_id: request_id.into(),
        user_id,
        amount,
        purse: purse.into(),
        source_type: pb::SourceType::Recharge.into(),
        ..Default::default()
    }
}

pub fn charge(user_id: i64, task_id: &str, amount: i64) -> pb::ChargeRequest {
    pb::ChargeRequest {
        user_id,
        task_id: task_id.into(),
        amount,
        app_name: "fal-ai/flux/dev".into(),
        ..Default::default()
    }
}

pub fn authorize(user_id: i64, task_id: &str, amount: i64) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest {
        user_id,
        task_id: task_id.into(),
        amount,
        app_name: "fal-ai/sora-2".into(),
        ..Default::default()
    }
}

/// The reason of an error and its metadata, as a client reads them.
pub fn reason(status: &Status) -> (String, HashMap<String, String>) {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("every error carries an ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "scrip.v1");
    (info.reason, info.metadata)
}

/// Asserts that a call was refused with this code and reason; answers the metadata.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    expected: &str,
) -> HashMap<String, String> {
    let status = answer.expect_err("the call is refused");
    let (reason, metadata) = reason(&status);
    assert_eq!((status.code(), reason.as_str()), (code, expected), "{status:?}");
    metadata
}

/// Asserts that a call was refused for these fields.
#[track_caller]
pub fn refused_fields<T: std::fmt::Debug>(answer: Result<T, Status>, fields: &[&str]) {
    let status = answer.expect_err("the call is refused");
    let (reason, metadata) = reason(&status);
    assert_eq!((status.code(), reason.as_str()), (Code::InvalidArgument, "INVALID_FIELD"), "{status:?}");
    let violations = status.get_details_bad_request().expect("the fields are named").field_violations;
    let named: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(named, fields, "{status:?}");
    assert_eq!(metadata.get("field").map(String::as_str), fields.first().copied());
}

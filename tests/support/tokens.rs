//! `scrip tokens` as an operator uses it, and clients that carry what it makes.

use std::process::Output;

use scrip::pb::billing_service_client::BillingServiceClient;
use scrip::pb::key_service_client::KeyServiceClient;
use scrip::pb::task_service_client::TaskServiceClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

type Carrying = InterceptedService<Channel, Bearer>;

/// Clients of one server that prove themselves by one token.
#[derive(Clone)]
pub struct Bearing {
    pub channel: Carrying,
    pub billing: BillingServiceClient<Carrying>,
    pub tasks: TaskServiceClient<Carrying>,
    pub keys: KeyServiceClient<Carrying>,
}

impl Bearing {
    pub fn new(channel: Channel, token: &str) -> Bearing {
        let channel = InterceptedService::new(channel, Bearer(token.to_owned()));
        Bearing {
            billing: BillingServiceClient::new(channel.clone()),
            tasks: TaskServiceClient::new(channel.clone()),
            keys: KeyServiceClient::new(channel.clone()),
            channel,
        }
    }
}

/// Puts the token on each call.
#[derive(Clone)]
pub struct Bearer(String);

impl tonic::service::Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = format!("Bearer {}", self.0).parse().expect("a header");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// Runs `scrip` on this database: `line` is parted at spaces.
pub async fn scrip(database_url: &str, line: &str) -> Output {
    tokio::process::Command::new(env!("CARGO_BIN_EXE_scrip"))
        .args(line.split_whitespace())
        .env("SCRIP_DATABASE_URL", database_url)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .expect("it runs")
}

/// Makes a token; `line` is what follows `scrip tokens create`.
pub async fn create(database_url: &str, line: &str) -> String {
    let made = scrip(database_url, &format!("tokens create {line}")).await;
    assert!(made.status.success(), "{made:?}");
    let token = String::from_utf8(made.stdout).expect("text").trim().to_owned();
    assert!(token.starts_with("scrip_") && token.len() == 49, "{token}");
    token
}

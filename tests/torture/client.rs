//! A caller: sends calls over the wire to one of the replicas, and says what it learnt.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use scrip::pb::key_service_client::KeyServiceClient;
use scrip::pb::task_service_client::TaskServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::answer::{self, Outcome, Told};
use crate::call::{Call, Kind, message};
use crate::history::Recorder;

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// What a caller waits beyond its deadline: then the connection is as good as lost.
const GRACE: Duration = Duration::from_secs(2);
const MOST_BYTES: usize = 64 << 20;

/// Asks with a deadline; an error leaves the caller with it.
macro_rules! ask {
    ($line:ident.$client:ident.$method:ident, $within:expr, $message:expr) => {{
        let mut request = Request::new($message);
        request.set_timeout($within);
        $line.$client.$method(request).await?.into_inner()
    }};
}

/// The clients of one replica over one connection, which is made anew whenever it is lost.
#[derive(Clone)]
pub(crate) struct Line {
    billing: BillingServiceClient<Channel>,
    tasks: TaskServiceClient<Channel>,
    keys: KeyServiceClient<Channel>,
}

impl Line {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let channel = channel(address);
        Self {
            billing: BillingServiceClient::new(channel.clone()).max_decoding_message_size(MOST_BYTES),
            tasks: TaskServiceClient::new(channel.clone()),
            keys: KeyServiceClient::new(channel),
        }
    }

    /// Sends it; `within` is the deadline that the server is told.
    async fn send(self, call: &Call, within: Duration) -> Result<Outcome, Status> {
        match call.kind() {
            Kind::Read => self.read(call, within).await,
            Kind::Start | Kind::Complete | Kind::Fail | Kind::Select | Kind::Renew | Kind::Release => {
                self.run(call, within).await
            }
            _ => self.bill(call, within).await,
        }
    }

    /// What moves money.
    async fn bill(mut self, call: &Call, within: Duration) -> Result<Outcome, Status> {
        let told = match call {
            Call::Charge(charge) => {
                let asked = message::charge(charge);
                return Ok(charged(ask!(self.billing.charge, within, asked)));
            }
            Call::Batch { items, atomic } => {
                return Ok(each(ask!(self.billing.batch_charge, within, message::batch(items, *atomic))));
            }
            Call::Authorize { charge, ttl_millis } => {
                let asked = message::authorize(charge, *ttl_millis);
                let answer = ask!(self.billing.authorize, within, asked);
                let lease = answer.lease.map(answer::lease);
                Told { lease, ..moved(answer.task, Vec::new(), answer.balance, answer.replayed) }
            }
            Call::Capture { request, user, task, amount } => {
                let asked = message::capture(request, *user, task, *amount);
                let answer = ask!(self.billing.capture, within, asked);
                moved(answer.task, answer.entries, answer.balance, answer.replayed)
            }
            Call::Void { request, user, task, reason } => {
                let asked = message::void(request, *user, task, reason);
                let answer = ask!(self.billing.void, within, asked);
                moved(answer.task, Vec::new(), answer.balance, answer.replayed)
            }
            Call::Refund { request, user, task, amount } => {
                let asked = message::refund(request, *user, task, *amount);
                let answer = ask!(self.billing.refund, within, asked);
                moved(answer.task, answer.entries, answer.balance, answer.replayed)
            }
            Call::Credit { .. } => {
                let asked = message::credit(call).expect("a credit");
                let answer = ask!(self.billing.credit, within, asked);
                moved(None, answer.entries, answer.balance, answer.replayed)
            }
            Call::Debit { request, user, amount, order } => {
                let asked = message::debit(request, *user, *amount, order);
                let answer = ask!(self.billing.debit, within, asked);
                moved(None, answer.entries, answer.balance, answer.replayed)
            }
            _ => return Err(Status::unimplemented("no call of this kind")),
        };
        Ok(Outcome::Ok(Box::new(told)))
    }

    /// What the runner of a task does: its key, its reports.
    async fn run(mut self, call: &Call, within: Duration) -> Result<Outcome, Status> {
        let told = match call {
            Call::Start { task, online, lease, .. } => {
                let asked = message::start(task, online, lease);
                let answer = ask!(self.tasks.start_task, within, asked);
                moved(answer.task, Vec::new(), None, false)
            }
            Call::Complete { settle, cost, capture } => {
                let asked = message::complete(settle, *cost, *capture);
                let answer = ask!(self.tasks.complete_task, within, asked);
                let late = answer.late;
                Told { late, ..moved(answer.task, answer.entries, answer.balance, answer.replayed) }
            }
            Call::Fail { settle, error, keep_charge, http_status } => {
                let asked = message::fail(settle, error, *keep_charge, *http_status);
                let answer = ask!(self.tasks.fail_task, within, asked);
                moved(answer.task, answer.entries, answer.balance, answer.replayed)
            }
            Call::Select { .. } => {
                let asked = message::select(call).expect("a selection");
                let answer = ask!(self.keys.select_key, within, asked);
                leased(answer.lease, answer.replayed)
            }
            Call::Renew { lease, ttl_millis } => {
                let asked = message::renew(lease, *ttl_millis);
                leased(ask!(self.keys.renew_lease, within, asked).lease, false)
            }
            Call::Release { lease, http_status } => {
                let asked = message::release(lease, *http_status);
                let answer = ask!(self.keys.release_key, within, asked);
                leased(answer.lease, answer.replayed)
            }
            _ => return Err(Status::unimplemented("no call of this kind")),
        };
        Ok(Outcome::Ok(Box::new(told)))
    }

    async fn read(mut self, call: &Call, within: Duration) -> Result<Outcome, Status> {
        let told = match call {
            Call::Balance { user } => {
                let asked = pb::GetBalanceRequest { user_id: *user, as_of_time: None };
                let answer = ask!(self.billing.get_balance, within, asked);
                moved(None, Vec::new(), answer.balance, false)
            }
            Call::Task { user, task } => {
                let asked = pb::GetTaskRequest { task_id: task.clone(), user_id: *user };
                moved(ask!(self.tasks.get_task, within, asked).task, Vec::new(), None, false)
            }
            Call::Entries { user } => {
                let asked = pb::ListEntriesRequest { user_id: *user, page_size: 50, ..Default::default() };
                moved(None, ask!(self.billing.list_entries, within, asked).entries, None, false)
            }
            _ => return Err(Status::unimplemented("no call of this kind")),
        };
        Ok(Outcome::Ok(Box::new(told)))
    }
}

pub(crate) fn channel(address: SocketAddr) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address is a URL");
    endpoint.connect_timeout(CONNECT_WITHIN).connect_lazy()
}

fn charged(answer: pb::ChargeResponse) -> Outcome {
    let lease = answer.lease.map(answer::lease);
    let told = moved(answer.task, answer.entries, answer.balance, answer.replayed);
    Outcome::Ok(Box::new(Told { lease, ..told }))
}

fn moved(
    task: Option<pb::Task>,
    entries: Vec<pb::Entry>,
    balance: Option<pb::Balance>,
    replayed: bool,
) -> Told {
    Told {
        task: task.map(answer::task),
        entries: entries.into_iter().map(answer::entry).collect(),
        balance: balance.map(answer::balance),
        replayed,
        ..Told::default()
    }
}

fn leased(lease: Option<pb::KeyLease>, replayed: bool) -> Told {
    Told { lease: lease.map(answer::lease), replayed, ..Told::default() }
}

/// A batch is known when each of its items is.
fn each(answer: pb::BatchChargeResponse) -> Outcome {
    let outcomes: Vec<Outcome> = answer.results.into_iter().map(item).collect();
    match outcomes.iter().find(|outcome| outcome.is_unknown()) {
        Some(unknown) => unknown.clone(),
        None => Outcome::Each(outcomes),
    }
}

fn item(result: pb::BatchChargeResult) -> Outcome {
    match result.result {
        Some(pb::batch_charge_result::Result::Charge(charge)) => charged(charge),
        Some(pb::batch_charge_result::Result::Error(error)) => answer::of_item(error),
        None => Outcome::info("Malformed", "a result of a batch is not set"),
    }
}

/// How a call is to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The deadline the server is told.
    pub(crate) within: Duration,
    /// When the caller goes away without waiting for the answer.
    pub(crate) leaves_after: Option<Duration>,
}

/// Sends a call and keeps it in the history: written before it leaves, and again when it is over.
pub(crate) async fn deliver(
    recorder: &Recorder,
    line: Line,
    (client, replica): (u32, u32),
    call: &Arc<Call>,
    manner: Manner,
) -> Outcome {
    let op = recorder.begin(client, replica, call);
    let patience = manner.leaves_after.unwrap_or(manner.within + GRACE);
    let outcome = match tokio::time::timeout(patience, line.send(call, manner.within)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(status)) => answer::of_status(&status),
        Err(_) if manner.leaves_after.is_some() => Outcome::info("Left", "the caller went away"),
        Err(_) => Outcome::info("Silent", "no answer within the deadline and some more"),
    };
    recorder.end(op, outcome.clone());
    outcome
}

//! The gRPC services: messages in, commands to the engine, answers out. No rule of the ledger is here.
//!
//! The phases of a call:
//!
//! 1. `codec` reads the message; one that is not valid protobuf is refused like any wrong field;
//! 2. `convert` makes it a command or a query, and notes what only the wire can get wrong;
//! 3. the engine's [`Handle`] checks, decides, commits and answers;
//! 4. `convert` makes the answer a message, or `status` makes the error a `tonic::Status`: it alone does.
//!
//! `billing`, `task` and `key` only join these, `reconciliation` does the same with reconciliation's own handle; `page`
//! keeps the place in a list.

mod billing;
pub(crate) mod codec;
mod convert;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod key;
mod page;
mod reconciliation;
mod status;
mod task;

use std::sync::Arc;

use tokio::time::Instant;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use self::convert::Ask;
use self::reconciliation::Reconciliations;
use crate::engine::{Answer, Handle, Wait};
use crate::ledger::command::UNRESOLVED;
use crate::ledger::limits::Checks;
use crate::ledger::{Command, FieldViolation, Limits, Rejection, Submission, Text};
use crate::pb::billing_service_server::{self, BillingServiceServer};
use crate::pb::key_service_server::{self, KeyServiceServer};
use crate::pb::reconciliation_service_server::{self, ReconciliationServiceServer};
use crate::pb::task_service_server::{self, TaskServiceServer};
use crate::reconcile;
use crate::server::auth::Caller;
use crate::server::{Deadline, MAX_MESSAGE_BYTES, Note};

/// The services of [`routes`] by their full names, for health.
pub const SERVICES: [&str; 4] = [
    billing_service_server::SERVICE_NAME,
    task_service_server::SERVICE_NAME,
    key_service_server::SERVICE_NAME,
    reconciliation_service_server::SERVICE_NAME,
];

/// How the services read messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The largest message a caller may send, in bytes. Answers are not bounded here: a list is by its page size, a
    /// batch by its request.
    pub max_message_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_message_bytes: MAX_MESSAGE_BYTES }
    }
}

/// The services, speaking to the engine behind `handle`, and to reconciliation where there is one.
pub fn routes(handle: Handle, reconcile: Option<reconcile::Handle>, options: Options) -> Routes {
    let api = Arc::new(Api { handle });
    let billing = BillingServiceServer::from_arc(Arc::clone(&api));
    let task = TaskServiceServer::from_arc(Arc::clone(&api));
    let key = KeyServiceServer::from_arc(api);
    let routes = Routes::new(billing.max_decoding_message_size(options.max_message_bytes))
        .add_service(task.max_decoding_message_size(options.max_message_bytes))
        .add_service(key.max_decoding_message_size(options.max_message_bytes));
    let Some(handle) = reconcile else { return routes };
    let reconciliation = ReconciliationServiceServer::new(Reconciliations { handle });
    routes.add_service(reconciliation.max_decoding_message_size(options.max_message_bytes))
}

/// All services: they differ in their methods, not in what they need.
struct Api {
    handle: Handle,
}

impl Api {
    fn limits(&self) -> &Limits {
        self.handle.limits()
    }

    /// A call that changes something: the request asks for a command, the answer fills the response.
    async fn write<Q: Ask, R: From<Answer>>(&self, request: Request<Q>) -> Result<Response<R>, Status> {
        let (deadline, caller, note) = (deadline(&request), caller(&request)?, note(&request));
        let actor = actor(&caller);
        let (command, request_id, wait) = asked(request.into_inner(), &actor, self.limits())?;
        note.user(command.user_id());
        self.admit(&caller, &command).await?;
        let answer = if command.selection().is_some() {
            self.handle.submit_waiting(command, &request_id, (&actor, deadline), wait).await?
        } else {
            self.handle.submit(command, &request_id, &actor, deadline).await?
        };
        note.user(answer.user.user_id);
        Ok(Response::new(answer.into()))
    }

    /// Whether the caller may ask for this of this user: what the table of methods cannot know.
    async fn admit(&self, caller: &Caller, command: &Command) -> Result<(), Status> {
        if command.selection().is_some() {
            caller.require_runner()?;
        }
        if !caller.is_bound() {
            return Ok(());
        }
        match (command.user_id(), command.task_id()) {
            (UNRESOLVED, Some(task_id)) => {
                // Another's task is not there, as it is not for who names the wrong user.
                let owner = self.handle.task_owner(task_id).await?;
                if owner.is_none_or(|owner| !caller.may_touch(owner)) {
                    return Err(Rejection::TaskNotFound(Text::clone(task_id)).into());
                }
                Ok(())
            }
            (user_id, _) => Ok(caller.touch(user_id)?),
        }
    }

    /// Likewise of a lease.
    async fn admit_lease(&self, caller: &Caller, lease_id: &str) -> Result<(), Status> {
        if !caller.is_bound() {
            return Ok(());
        }
        let lease_id = Text::from(lease_id);
        let owner = self.handle.lease_owner(&lease_id).await?;
        if owner.is_none_or(|owner| !caller.may_touch(owner)) {
            return Err(Rejection::LeaseNotFound(lease_id).into());
        }
        Ok(())
    }

    /// The same checks for one item of a batch.
    fn check<Q: Ask>(&self, request: Q, actor: &Text) -> Result<Submission, Rejection> {
        let (command, request_id, _) = asked(request, actor, self.limits())?;
        self.handle.check(command, &request_id, actor)
    }
}

/// The command, the `request_id` and the patience that a request comes with. Where the wire got something wrong, the ledger is asked
/// about the other fields as well, so that the caller hears of all of them at once.
fn asked<Q: Ask>(request: Q, actor: &Text, limits: &Limits) -> Result<(Command, String, Wait), Rejection> {
    let mut checks = Checks::new(limits);
    let wait = request.wait(&mut checks);
    let (command, request_id) = request.into_command(&mut checks);
    let Err(mut violations) = checks.finish() else { return Ok((command, request_id, wait)) };
    let others = match Submission::new(command, &request_id, actor, limits) {
        Err(Rejection::InvalidField(others)) => others,
        Err(Rejection::RequestIdRequired) => vec![FieldViolation::new("request_id", "must be given")],
        Ok(_) | Err(_) => Vec::new(),
    };
    for other in others {
        if violations.iter().all(|violation| violation.field != other.field) {
            violations.push(other);
        }
    }
    Err(Rejection::InvalidField(violations))
}

/// When the caller stops waiting, as the server noted it beside the request.
fn deadline<T>(request: &Request<T>) -> Option<Instant> {
    request.extensions().get::<Deadline>().map(|deadline| deadline.instant())
}

/// Where the server hears whose call it is, for its log.
fn note<T>(request: &Request<T>) -> Note {
    request.extensions().get::<Note>().cloned().unwrap_or_default()
}

/// Who calls, as the server found out. Without that nothing is served.
fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    request.extensions().get::<Caller>().cloned().ok_or_else(status::nobody)
}

/// The caller's name, as entries and the audit log will say it.
fn actor(caller: &Caller) -> Text {
    Text::clone(caller.name())
}

#[cfg(test)]
mod tests;

//! Doors for the fuzz targets alone, behind the feature `fuzzing`: bytes in, what the services would make of them out.

use prost::Message;

use super::convert::Ask;
use super::page::Paging;
use crate::ledger::limits::Checks;
use crate::ledger::{Limits, Submission, Text};
use crate::pb;

/// Methods of [`submission`].
pub const METHODS: u8 = 10;

/// What a call of a method that moves money or tasks submits to the ledger; `None` where the bytes are no message of it,
/// or it is refused before it is decided.
pub fn submission(method: u8, message: &[u8]) -> Option<Submission> {
    match method % METHODS {
        0 => read::<pb::ChargeRequest>(message),
        1 => read::<pb::AuthorizeRequest>(message),
        2 => read::<pb::CaptureRequest>(message),
        3 => read::<pb::VoidRequest>(message),
        4 => read::<pb::RefundRequest>(message),
        5 => read::<pb::CreditRequest>(message),
        6 => read::<pb::DebitRequest>(message),
        7 => read::<pb::StartTaskRequest>(message),
        8 => read::<pb::CompleteTaskRequest>(message),
        _ => read::<pb::FailTaskRequest>(message),
    }
}

fn read<Q: Ask + Message + Default>(message: &[u8]) -> Option<Submission> {
    let (limits, actor) = (Limits::default(), Text::from("fuzz"));
    let (command, request_id, _) = super::asked(Q::decode(message).ok()?, &actor, &limits).ok()?;
    Submission::new(command, &request_id, &actor, &limits).ok()
}

/// The place that a page token names in the entries of a user, if it names one; and the token that this list gives for
/// that place.
pub fn place(user_id: i64, token: &str) -> Option<(i64, String)> {
    let limits = Limits::default();
    let query = pb::ListEntriesRequest { user_id, ..pb::ListEntriesRequest::default() };
    let paging = Paging::<1>::read("ListEntries", &query, 0, token, &mut Checks::new(&limits));
    paging.after().map(|key| (key[0], paging.token(key)))
}

/// The same of lists whose place is three numbers.
pub fn place_of_three(token: &str) -> Option<([i64; 3], String)> {
    let limits = Limits::default();
    let query = pb::ListFindingsRequest::default();
    let paging = Paging::<3>::read("ListFindings", &query, 0, token, &mut Checks::new(&limits));
    paging.after().map(|key| (key, paging.token(key)))
}

/// A token of the entries of a user.
pub fn token(user_id: i64, place: i64) -> String {
    let limits = Limits::default();
    let query = pb::ListEntriesRequest { user_id, ..pb::ListEntriesRequest::default() };
    Paging::<1>::read("ListEntries", &query, 0, "", &mut Checks::new(&limits)).token([place])
}

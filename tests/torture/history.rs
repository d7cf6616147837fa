//! The history: each call is written down before it is sent, and again when its caller knows more.
//!
//! One JSON object a line. `{"op":7,"at":…,"client":3,"replica":0,"call":{…}}` is flushed to the file before the call
//! leaves; `{"op":7,"at":…,"outcome":{…}}` follows with `ok`, `fail` (a refusal that is final) or `info` (everything
//! else). Moments are microseconds since the run began, of one clock that never steps.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::time::Instant;

use crate::answer::Outcome;
use crate::call::Call;

/// Microseconds since the run began.
pub(crate) type Moment = u64;

/// One delivery of a call.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) op: u64,
    pub(crate) client: u32,
    pub(crate) replica: u32,
    pub(crate) call: Arc<Call>,
    pub(crate) begun: Moment,
    /// When its caller knew more, and what. `None` only while it is under way.
    pub(crate) end: Option<(Moment, Outcome)>,
}

impl Op {
    pub(crate) fn outcome(&self) -> Option<&Outcome> {
        self.end.as_ref().map(|(_, outcome)| outcome)
    }

    /// Whether nobody knows what became of it.
    pub(crate) fn is_unknown(&self) -> bool {
        self.outcome().is_none_or(Outcome::is_unknown)
    }

    /// When it was over for its caller; never, if it was not.
    pub(crate) fn ended(&self) -> Moment {
        self.end.as_ref().map_or(Moment::MAX, |(at, _)| *at)
    }
}

#[derive(Serialize)]
struct Invoked<'a> {
    op: u64,
    at: Moment,
    client: u32,
    replica: u32,
    call: &'a Call,
}

#[derive(Serialize)]
struct Ended<'a> {
    op: u64,
    at: Moment,
    outcome: &'a Outcome,
}

/// Writes the history down; shared by all clients.
pub(crate) struct Recorder {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    ops: Vec<Op>,
    file: BufWriter<File>,
}

impl Recorder {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = BufWriter::new(File::create(path)?);
        let state = Mutex::new(State { ops: Vec::new(), file });
        Ok(Self { began: Instant::now(), state })
    }

    pub(crate) fn now(&self) -> Moment {
        Moment::try_from(self.began.elapsed().as_micros()).unwrap_or(Moment::MAX)
    }

    /// To be called before the call is sent: the line is in the file when this returns.
    pub(crate) fn begin(&self, client: u32, replica: u32, call: &Arc<Call>) -> u64 {
        let mut state = self.state();
        let begun = self.now();
        let op = state.ops.len() as u64;
        write(&mut state.file, &Invoked { op, at: begun, client, replica, call });
        state.file.flush().expect("the history takes a line");
        state.ops.push(Op { op, client, replica, call: Arc::clone(call), begun, end: None });
        op
    }

    pub(crate) fn end(&self, op: u64, outcome: Outcome) {
        let mut state = self.state();
        let at = self.now();
        write(&mut state.file, &Ended { op, at, outcome: &outcome });
        let place = usize::try_from(op).expect("an operation");
        state.ops[place].end = Some((at, outcome));
    }

    /// All that was kept, at the end: it may be a lot, and is not kept twice.
    pub(crate) fn take(&self) -> Vec<Op> {
        let mut state = self.state();
        state.file.flush().expect("the history takes a line");
        std::mem::take(&mut state.ops)
    }

    /// Calls that nobody has heard of again, and writes whose outcome is unknown.
    pub(crate) fn unknown(&self) -> Vec<Arc<Call>> {
        let state = self.state();
        let open = state.ops.iter().filter(|op| op.call.is_write() && op.is_unknown());
        open.map(|op| Arc::clone(&op.call)).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something was acknowledged: a success, or that of an item.
pub(crate) fn is_acknowledged(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Ok(_) => true,
        Outcome::Each(items) => items.iter().any(is_acknowledged),
        Outcome::Fail(_) | Outcome::Info { .. } => false,
    }
}

fn write(file: &mut BufWriter<File>, line: &impl Serialize) {
    serde_json::to_writer(&mut *file, line).expect("the history takes a line");
    file.write_all(b"\n").expect("the history takes a line");
}

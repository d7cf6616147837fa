//! The history: every call before it is sent, and what its caller heard.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard};

use scrip::engine::{Answer, EngineError, KeyAnswer};
use scrip::keypool;
use scrip::ledger::{Command, Fingerprint, Limits, Method, Rejection, Submission, Text, User, UserId};

use crate::log::{brief, brief_end};

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Ledger(Command),
    Keys(keypool::Command),
}

/// A call, with the keys that make a repeat of it recognisable.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) asked: Asked,
    pub(crate) request_id: String,
    /// Whose request it is; 0 where it has no user.
    pub(crate) user: UserId,
    /// fal's id of the job, of a key that is given back.
    pub(crate) job: String,
}

/// What a caller was told.
#[derive(Clone, Debug)]
pub(crate) enum Told {
    Ledger(Box<Answer>),
    Keys(Box<KeyAnswer>),
}

/// How a call ended for its caller.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Done(Told),
    /// Refused by the ledger or the pool.
    Refused(Rejection),
    /// Certainly not done.
    NotDone(EngineError),
    /// It may have been done.
    Unknown(&'static str),
}

/// One delivery of a call.
pub(crate) struct Sent {
    pub(crate) call: Call,
    /// Of this delivery alone: the rows that it writes carry it.
    pub(crate) actor: Text,
    /// What a repeat under the same keys is recognised by.
    pub(crate) content: Option<(Method, Option<Text>, Fingerprint)>,
    /// An item of an atomic batch, by the batch's number.
    pub(crate) atomic: Option<usize>,
    /// When it was sent, in the order of all events.
    pub(crate) begun: u64,
    /// The newest entry of its user that anybody had been told of by then.
    pub(crate) floor: i64,
    /// `None` as long as nobody has heard of it.
    pub(crate) end: Option<(u64, End)>,
}

impl Call {
    pub(crate) fn ledger(user: UserId, request_id: String, command: Command) -> Self {
        Self { asked: Asked::Ledger(command), request_id, user, job: String::new() }
    }

    pub(crate) fn keys(request_id: String, command: keypool::Command) -> Self {
        Self { asked: Asked::Keys(command), request_id, user: 0, job: String::new() }
    }

    fn content(&self, actor: &Text) -> Option<(Method, Option<Text>, Fingerprint)> {
        match &self.asked {
            Asked::Ledger(command) => {
                let submission =
                    Submission::new(command.clone(), &self.request_id, actor, &Limits::default()).ok()?;
                Some((command.method(), command.task_id().cloned(), submission.fingerprint))
            }
            Asked::Keys(command) => {
                command.content().map(|(method, fingerprint)| (method, None, fingerprint))
            }
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.end.as_ref().map_or_else(|| "nothing".to_owned(), |(_, end)| brief_end(end));
        write!(f, "{} ({}; heard: {end})", self.actor, brief(&self.call))
    }
}

impl Sent {
    /// The command, where it is the ledger's.
    pub(crate) fn command(&self) -> Option<&Command> {
        match &self.call.asked {
            Asked::Ledger(command) => Some(command),
            Asked::Keys(_) => None,
        }
    }

    /// What its caller was answered, where it was done.
    pub(crate) fn answer(&self) -> Option<&Answer> {
        match &self.end {
            Some((_, End::Done(Told::Ledger(answer)))) => Some(answer),
            _ => None,
        }
    }

    /// Whether it may have been done without its caller knowing.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(&self.end, None | Some((_, End::Unknown(_))))
    }
}

/// Everything that was sent in one simulation.
#[derive(Default)]
pub(crate) struct History(Mutex<Events>);

/// What was sent and read.
#[derive(Default)]
pub(crate) struct Events {
    pub(crate) sent: Vec<Sent>,
    now: u64,
    /// The newest entry of each user that a caller was told of.
    told: BTreeMap<UserId, i64>,
    /// Figures of users that were read, and the newest entry that anybody had been told of before.
    pub(crate) read: Vec<(i64, User)>,
}

impl History {
    pub(crate) fn events(&self) -> MutexGuard<'_, Events> {
        self.0.lock().expect("whole")
    }

    /// The newest entry of a user that anybody was told of.
    pub(crate) fn floor(&self, user: UserId) -> i64 {
        self.events().told.get(&user).copied().unwrap_or(0)
    }

    /// Notes what was read of a user.
    pub(crate) fn was_read(&self, floor: i64, user: User) {
        self.events().read.push((floor, user));
    }

    /// Notes that a call is about to be sent; answers its number and its actor.
    pub(crate) fn begin(&self, call: &Call, atomic: Option<usize>) -> (usize, Text) {
        let events = &mut *self.events();
        let number = events.sent.len();
        let actor = Text::from(format!("call-{number}"));
        events.now += 1;
        events.sent.push(Sent {
            call: call.clone(),
            actor: Text::clone(&actor),
            content: call.content(&actor),
            atomic,
            begun: events.now,
            floor: events.told.get(&call.user).copied().unwrap_or(0),
            end: None,
        });
        (number, actor)
    }

    /// Notes what its caller heard.
    pub(crate) fn end(&self, number: usize, end: End) {
        let events = &mut *self.events();
        events.now += 1;
        if let End::Done(Told::Ledger(answer)) = &end {
            let newest = answer.entries.iter().map(|entry| entry.user_seq).max().unwrap_or(0);
            let told = events.told.entry(events.sent[number].call.user).or_default();
            *told = newest.max(*told);
        }
        events.sent[number].end = Some((events.now, end));
    }
}

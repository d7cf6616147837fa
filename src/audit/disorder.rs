//! What an audit refuses to be folded over.

use std::fmt;

use super::{AccountsError, ScopeError, Text, UserId};

/// Why rows are refused: an audit of them would be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disorder {
    /// The scope contradicts itself.
    Scope(ScopeError),
    /// The accounts do.
    Accounts(AccountsError),
    /// A task that does not come after the one before it.
    Task {
        /// Its id.
        task_id: Text,
    },
    /// An event that comes before the one before it.
    Event {
        /// Its request.
        request_id: Text,
    },
    /// An event of an account that was not handed in.
    UnknownAccount {
        /// The account.
        account_id: i64,
    },
    /// A user's row that does not come after the one before it.
    User {
        /// The user.
        user_id: UserId,
    },
    /// A row of a stream that had not been asked for, or had ended.
    NotNeeded,
    /// The audit was ended before both streams were.
    Unfinished,
}

impl fmt::Display for Disorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disorder::Scope(why) => why.fmt(f),
            Disorder::Accounts(why) => why.fmt(f),
            Disorder::Task { task_id } => write!(f, "task {task_id} is out of order or comes twice"),
            Disorder::Event { request_id } => write!(f, "an event of request {request_id} is out of order"),
            Disorder::UnknownAccount { account_id } => {
                write!(f, "an event names the unknown account {account_id}")
            }
            Disorder::User { user_id } => write!(f, "a row of user {user_id} is out of order or comes twice"),
            Disorder::NotNeeded => f.write_str("a row came that had not been asked for"),
            Disorder::Unfinished => f.write_str("the streams of tasks and events have not ended"),
        }
    }
}

impl std::error::Error for Disorder {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_row_it_was() {
        let says = |disorder: Disorder| disorder.to_string();
        assert_eq!(says(Disorder::Task { task_id: "t1".into() }), "task t1 is out of order or comes twice");
        let event = Disorder::Event { request_id: "r1".into() };
        assert_eq!(says(event), "an event of request r1 is out of order");
        assert_eq!(says(Disorder::User { user_id: 7 }), "a row of user 7 is out of order or comes twice");
        let unknown = Disorder::UnknownAccount { account_id: 9 };
        assert_eq!(says(unknown), "an event names the unknown account 9");
        let twice = Disorder::Accounts(AccountsError::Repeated(9));
        assert_eq!(says(twice), "account 9 is listed twice");
        let shared = Disorder::Accounts(AccountsError::SharedKey("k1".into()));
        assert_eq!(says(shared), "two accounts have the key id k1");
        assert_eq!(says(Disorder::Scope(ScopeError::Empty)), "the period must end after it starts");
    }
}

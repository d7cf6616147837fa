//! Verify: walks every user's rows in one snapshot and hands them to the pure check, page by page.
//!
//! Five streams are read. Four come sorted by user (users, entries, tasks, requests); each user's share of them is checked together.
//! The fifth is the leases, checked against the accounts once they are all known. Memory holds one page of each stream,
//! the orders of one user and the accounts.

use std::collections::VecDeque;

use crate::keypool::verify::PoolCheck;
use crate::ledger::verify::UserCheck;
use crate::ledger::{RequestRecord, User, UserId};
use crate::store::{AuditSnapshot, StoreError, StoredEntry, TaskRecord};

pub use crate::ledger::verify::Disagreement;

/// Rows of one page of one stream.
const PAGE: u32 = 2_000;

/// How much was checked, and how much of it disagrees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Users checked.
    pub users: u64,
    /// Entries checked.
    pub entries: u64,
    /// Tasks checked.
    pub tasks: u64,
    /// Idempotency records checked.
    pub requests: u64,
    /// Leases checked.
    pub leases: u64,
    /// Figures that disagree.
    pub disagreements: u64,
}

impl Verification {
    /// Rows checked so far.
    pub const fn rows(&self) -> u64 {
        self.users + self.entries + self.tasks + self.requests + self.leases
    }
}

/// Checks everything stored; `found` hears of each disagreement as it is found, `progress` after each user.
///
/// # Errors
/// If the snapshot cannot be read to its end: nothing is then known of the rest.
pub async fn verify(
    snapshot: Box<dyn AuditSnapshot>,
    found: &mut (dyn FnMut(Disagreement) + Send),
    progress: &mut (dyn FnMut(&Verification) + Send),
) -> Result<Verification, StoreError> {
    let mut streams = Streams::new(snapshot);
    let mut so_far = Verification::default();
    streams.orphan_points(&mut so_far, found).await?;
    while let Some(user_id) = streams.next_user().await? {
        let mut check = UserCheck::new(user_id);
        while let Some(entry) = streams.entry_of(user_id).await? {
            check.entry(&entry.chain_fields(), &entry.entry_hash);
            so_far.entries += 1;
        }
        while let Some(record) = streams.task_of(user_id).await? {
            check.task(&record.task, record.is_refund);
            so_far.tasks += 1;
        }
        while let Some(record) = streams.request_of(user_id).await? {
            check.request(&record);
            so_far.requests += 1;
        }
        let user = streams.user_of(user_id);
        so_far.users += u64::from(user.is_some());
        for disagreement in check.finish(user.as_ref()) {
            so_far.disagreements += 1;
            found(disagreement);
        }
        progress(&so_far);
    }
    pool(&mut *streams.snapshot, &mut so_far, found, progress).await?;
    Ok(so_far)
}

/// Checks the leases and accounts.
async fn pool(
    snapshot: &mut dyn AuditSnapshot,
    so_far: &mut Verification,
    found: &mut (dyn FnMut(Disagreement) + Send),
    progress: &mut (dyn FnMut(&Verification) + Send),
) -> Result<(), StoreError> {
    let mut check = PoolCheck::default();
    let mut after = (String::new(), i64::MIN);
    loop {
        let leases = snapshot.leases((&after.0, after.1), PAGE).await?;
        let Some(last) = leases.last() else { break };
        after = (last.task_id.to_string(), last.fence);
        leases.iter().for_each(|lease| check.lease(lease));
        so_far.leases = check.leases();
        progress(so_far);
    }
    let rows = snapshot.key_pool().await?;
    for disagreement in check.finish(&rows.accounts, &rows.workspaces) {
        so_far.disagreements += 1;
        found(disagreement);
    }
    Ok(())
}

/// One sorted stream: the page at hand, and where the next one starts.
struct Stream<T, K> {
    page: VecDeque<T>,
    after: K,
    ended: bool,
}

impl<T, K> Stream<T, K> {
    const fn new(after: K) -> Self {
        Self { page: VecDeque::new(), after, ended: false }
    }

    fn wants_page(&self) -> bool {
        self.page.is_empty() && !self.ended
    }

    fn turn(&mut self, rows: Vec<T>, key: impl FnOnce(&T) -> K) {
        match rows.last() {
            Some(last) => self.after = key(last),
            None => self.ended = true,
        }
        self.page = rows.into();
    }
}

struct Streams {
    snapshot: Box<dyn AuditSnapshot>,
    users: Stream<User, UserId>,
    entries: Stream<StoredEntry, (UserId, i64)>,
    tasks: Stream<TaskRecord, (UserId, i64)>,
    requests: Stream<RequestRecord, (UserId, String)>,
}

impl Streams {
    fn new(snapshot: Box<dyn AuditSnapshot>) -> Self {
        Self {
            snapshot,
            users: Stream::new(i64::MIN),
            entries: Stream::new((i64::MIN, i64::MIN)),
            tasks: Stream::new((i64::MIN, i64::MIN)),
            requests: Stream::new((i64::MIN, String::new())),
        }
    }

    async fn fill(&mut self) -> Result<(), StoreError> {
        if self.users.wants_page() {
            let rows = self.snapshot.users(self.users.after, PAGE).await?;
            self.users.turn(rows, |user| user.user_id);
        }
        if self.entries.wants_page() {
            let rows = self.snapshot.entries(self.entries.after, PAGE).await?;
            self.entries.turn(rows, |entry| (entry.user_id, entry.user_seq));
        }
        if self.tasks.wants_page() {
            let rows = self.snapshot.tasks(self.tasks.after, PAGE).await?;
            self.tasks.turn(rows, |record| (record.task.user_id, record.id));
        }
        if self.requests.wants_page() {
            let (user_id, request_id) = &self.requests.after;
            let rows = self.snapshot.requests((*user_id, request_id), PAGE).await?;
            self.requests.turn(rows, |record| (record.user_id, record.request_id.to_string()));
        }
        Ok(())
    }

    /// The lowest user that any stream still has rows of: one without a row of its own is found too. Records of user 0
    /// belong to no user and are not part of any chain.
    async fn next_user(&mut self) -> Result<Option<UserId>, StoreError> {
        self.fill().await?;
        while self.requests.page.front().is_some_and(|record| record.user_id == 0) {
            self.requests.page.pop_front();
            self.fill().await?;
        }
        let heads = [
            self.users.page.front().map(|user| user.user_id),
            self.entries.page.front().map(|entry| entry.user_id),
            self.tasks.page.front().map(|record| record.task.user_id),
            self.requests.page.front().map(|record| record.user_id),
        ];
        Ok(heads.into_iter().flatten().min())
    }

    async fn entry_of(&mut self, user_id: UserId) -> Result<Option<StoredEntry>, StoreError> {
        self.fill().await?;
        Ok(self.entries.page.pop_front_if(|entry| entry.user_id == user_id))
    }

    async fn task_of(&mut self, user_id: UserId) -> Result<Option<TaskRecord>, StoreError> {
        self.fill().await?;
        Ok(self.tasks.page.pop_front_if(|record| record.task.user_id == user_id))
    }

    async fn request_of(&mut self, user_id: UserId) -> Result<Option<RequestRecord>, StoreError> {
        self.fill().await?;
        Ok(self.requests.page.pop_front_if(|record| record.user_id == user_id))
    }

    fn user_of(&mut self, user_id: UserId) -> Option<User> {
        self.users.page.pop_front_if(|user| user.user_id == user_id)
    }

    /// Points rows of which no financial row knows.
    async fn orphan_points(
        &mut self,
        so_far: &mut Verification,
        found: &mut (dyn FnMut(Disagreement) + Send),
    ) -> Result<(), StoreError> {
        let mut after = (i64::MIN, i64::MIN);
        loop {
            let rows = self.snapshot.orphan_points(after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = *last;
            for (user_id, user_seq) in rows {
                so_far.disagreements += 1;
                found(Disagreement {
                    table: "ts_points_detail",
                    key: format!("user {user_id} seq {user_seq}"),
                    what: "row",
                    expected: "a financial row of the same number".to_owned(),
                    found: "none".to_owned(),
                });
            }
        }
    }
}

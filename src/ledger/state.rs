//! The batch's working state: the snapshot, overlaid with what the items before this one have done.
//!
//! Items only write here after they have been accepted whole, so a refused item needs no undoing. An atomic batch
//! does: while one runs, each first write of a row keeps the row as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Attempt, Change, Entry, Micros, Plan, RequestRecord, Snapshot, Task, TaskWrite, Text, User, UserId,
};

/// A row and what has happened to it in this batch.
#[derive(Clone, Debug)]
struct Row<T> {
    value: T,
    change: Option<Change>,
}

#[derive(Clone, Debug)]
struct TaskRow {
    task: Arc<Task>,
    input_params: Text,
    output_params: Option<Text>,
}

/// What to put back if an atomic batch aborts.
enum Undo {
    User(UserId, Option<Row<User>>),
    Task(Text, Option<Row<TaskRow>>),
    Request((UserId, Text)),
}

/// Where an atomic batch began.
pub(super) struct Savepoint {
    entries: usize,
    attempts: usize,
}

pub(super) struct State {
    pub(super) now: Micros,
    users: BTreeMap<UserId, Row<User>>,
    tasks: BTreeMap<Text, Row<TaskRow>>,
    requests: BTreeMap<(UserId, Text), Row<RequestRecord>>,
    entries: Vec<Arc<Entry>>,
    attempts: Vec<Attempt>,
    journal: Option<Vec<Undo>>,
}

impl State {
    pub(super) fn new(snapshot: Snapshot) -> Self {
        let no_text = Text::from("");
        let stored_task = |task: Task| TaskRow {
            task: Arc::new(task),
            input_params: Arc::clone(&no_text),
            output_params: None,
        };
        Self {
            now: snapshot.now,
            users: snapshot.users.into_iter().map(|user| (user.user_id, stored(user))).collect(),
            tasks: snapshot
                .tasks
                .into_iter()
                .map(|task| (Arc::clone(&task.task_id), stored(stored_task(task))))
                .collect(),
            requests: snapshot
                .requests
                .into_iter()
                .map(|request| ((request.user_id, Arc::clone(&request.request_id)), stored(request)))
                .collect(),
            entries: Vec::new(),
            attempts: Vec::new(),
            journal: None,
        }
    }

    pub(super) fn user(&self, user_id: UserId) -> Option<User> {
        self.users.get(&user_id).map(|row| row.value)
    }

    pub(super) fn task(&self, task_id: &Text) -> Option<&Arc<Task>> {
        self.tasks.get(task_id).map(|row| &row.value.task)
    }

    pub(super) fn request(&self, user_id: UserId, request_id: &Text) -> Option<&RequestRecord> {
        self.requests.get(&(user_id, Arc::clone(request_id))).map(|row| &row.value)
    }

    pub(super) fn put_user(&mut self, user: User) {
        let before = self.users.get(&user.user_id).cloned();
        let change = changed(before.as_ref());
        self.users.insert(user.user_id, Row { value: user, change: Some(change) });
        self.remember(Undo::User(user.user_id, before));
    }

    pub(super) fn create_task(&mut self, task: Arc<Task>, input_params: Text) {
        let task_id = Arc::clone(&task.task_id);
        debug_assert!(!self.tasks.contains_key(&task_id), "a task is created once");
        let value = TaskRow { task, input_params, output_params: None };
        self.tasks.insert(Arc::clone(&task_id), Row { value, change: Some(Change::Insert) });
        self.remember(Undo::Task(task_id, None));
    }

    /// Writes a task that exists; `output_params` of `None` keeps what an earlier item or the table holds.
    pub(super) fn update_task(&mut self, task: Arc<Task>, output_params: Option<Text>) {
        let task_id = Arc::clone(&task.task_id);
        let Some(row) = self.tasks.get_mut(&task_id) else {
            debug_assert!(false, "only a task that exists is updated");
            return;
        };
        let before = row.clone();
        row.change = Some(changed(Some(&before)));
        row.value.task = task;
        if output_params.is_some() {
            row.value.output_params = output_params;
        }
        self.remember(Undo::Task(task_id, Some(before)));
    }

    pub(super) fn record(&mut self, request: RequestRecord) {
        let key = (request.user_id, Arc::clone(&request.request_id));
        self.requests.insert(key.clone(), Row { value: request, change: Some(Change::Insert) });
        self.remember(Undo::Request(key));
    }

    pub(super) fn add_entries(&mut self, entries: &[Arc<Entry>]) {
        self.entries.extend(entries.iter().cloned());
    }

    pub(super) fn add_attempt(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    pub(super) fn begin(&mut self) -> Savepoint {
        self.journal = Some(Vec::new());
        Savepoint { entries: self.entries.len(), attempts: self.attempts.len() }
    }

    pub(super) fn keep(&mut self) {
        self.journal = None;
    }

    pub(super) fn undo(&mut self, savepoint: &Savepoint) {
        self.entries.truncate(savepoint.entries);
        self.attempts.truncate(savepoint.attempts);
        for undo in self.journal.take().into_iter().flatten().rev() {
            match undo {
                Undo::User(user_id, before) => restore(&mut self.users, user_id, before),
                Undo::Task(task_id, before) => restore(&mut self.tasks, task_id, before),
                Undo::Request(key) => restore(&mut self.requests, key, None),
            }
        }
    }

    pub(super) fn into_plan(self) -> Plan {
        Plan {
            users: self.users.into_values().filter_map(|row| Some((row.change?, row.value))).collect(),
            tasks: self
                .tasks
                .into_values()
                .filter_map(|row| {
                    let TaskRow { task, input_params, output_params } = row.value;
                    Some(TaskWrite { change: row.change?, task, input_params, output_params })
                })
                .collect(),
            attempts: self.attempts,
            entries: self.entries,
            requests: self
                .requests
                .into_values()
                .filter(|row| row.change.is_some())
                .map(|row| row.value)
                .collect(),
        }
    }

    fn remember(&mut self, undo: Undo) {
        if let Some(journal) = &mut self.journal {
            journal.push(undo);
        }
    }
}

const fn stored<T>(value: T) -> Row<T> {
    Row { value, change: None }
}

/// A row that this batch inserted stays an insert, however often it changes before the end.
fn changed<T>(before: Option<&Row<T>>) -> Change {
    match before {
        None => Change::Insert,
        Some(row) => row.change.unwrap_or(Change::Update),
    }
}

fn restore<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, before: Option<V>) {
    match before {
        Some(row) => {
            rows.insert(key, row);
        }
        None => {
            rows.remove(&key);
        }
    }
}

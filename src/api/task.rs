//! `scrip.v1.TaskService`: each handler hands its request on and the answer back.

use prost::Message;
use tonic::{Request, Response, Status};

use super::convert::query;
use super::page::Paging;
use super::{Api, caller, note};
use crate::engine::rows::{Page, TaskRecord};
use crate::ledger::command::UNRESOLVED;
use crate::ledger::{Rejection, Text};
use crate::pb;
use crate::pb::task_service_server::TaskService;

/// What a page of tasks may weigh: a little less than the 4 MiB that most clients take by default. One task alone,
/// with all its JSON, stays far below.
pub(super) const PAGE_BYTES: usize = (4 << 20) - (64 << 10);
/// Rows read at once: with all their JSON they may weigh half a MiB each.
const ROWS_AT_ONCE: u32 = 64;

#[tonic::async_trait]
impl TaskService for Api {
    async fn get_task(
        &self,
        request: Request<pb::GetTaskRequest>,
    ) -> Result<Response<pb::GetTaskResponse>, Status> {
        let (caller, note) = (caller(&request)?, note(&request));
        let pb::GetTaskRequest { task_id, user_id } = query::task(request.into_inner(), self.limits())?;
        let found = self.handle.task(&task_id).await?;
        note.user(found.as_ref().map_or(user_id, |record| record.task.user_id));
        let task = found
            .filter(|record| user_id == UNRESOLVED || record.task.user_id == user_id)
            .filter(|record| caller.may_touch(record.task.user_id))
            .ok_or_else(|| Rejection::TaskNotFound(Text::from(task_id)))?;
        Ok(Response::new(pb::GetTaskResponse { task: Some(task.into()) }))
    }

    async fn list_tasks(
        &self,
        request: Request<pb::ListTasksRequest>,
    ) -> Result<Response<pb::ListTasksResponse>, Status> {
        note(&request).user(request.get_ref().user_id);
        let caller = caller(&request)?;
        let (query, paging) = query::tasks(request.into_inner(), self.limits())?;
        match query.user_id {
            Some(user_id) => caller.touch(user_id)?,
            None => caller.touch_all()?,
        }
        let mut filling = Filling::new(paging);
        loop {
            let rows = self.handle.list_tasks(&query, filling.next()).await?;
            if let Some(page) = filling.take(rows) {
                return Ok(Response::new(page));
            }
        }
    }

    async fn start_task(
        &self,
        request: Request<pb::StartTaskRequest>,
    ) -> Result<Response<pb::StartTaskResponse>, Status> {
        self.write(request).await
    }

    async fn complete_task(
        &self,
        request: Request<pb::CompleteTaskRequest>,
    ) -> Result<Response<pb::CompleteTaskResponse>, Status> {
        self.write(request).await
    }

    async fn fail_task(
        &self,
        request: Request<pb::FailTaskRequest>,
    ) -> Result<Response<pb::FailTaskResponse>, Status> {
        self.write(request).await
    }
}

/// A page of tasks, filled a few rows at a time until it has as many as asked for, or is heavy enough.
struct Filling {
    paging: Paging<1>,
    tasks: Vec<pb::Task>,
    bytes: usize,
    /// The row of the last task taken.
    last: Option<i64>,
}

impl Filling {
    const fn new(paging: Paging<1>) -> Self {
        Self { paging, tasks: Vec::new(), bytes: 0, last: None }
    }

    /// The rows to read next: one more than is missing tells whether there is another page.
    fn next(&self) -> Page {
        let first = self.paging.first();
        let taken = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX);
        let limit = first.limit.saturating_sub(taken).min(ROWS_AT_ONCE);
        Page { before: self.last.or(first.before), limit }
    }

    /// Takes what [`Filling::next`] asked for; answers the page once it is full or there are no more rows.
    fn take(&mut self, rows: Vec<TaskRecord>) -> Option<pb::ListTasksResponse> {
        let is_end = rows.len() < self.next().limit as usize;
        for row in rows {
            let id = row.id;
            let task = pb::Task::from(row);
            self.bytes += task.encoded_len();
            let is_full = self.tasks.len() == self.paging.size() || self.bytes > PAGE_BYTES;
            if let Some(last) = self.last.filter(|_| is_full) {
                return Some(self.page(self.paging.token([last])));
            }
            self.tasks.push(task);
            self.last = Some(id);
        }
        is_end.then(|| self.page(String::new()))
    }

    fn page(&mut self, next_page_token: String) -> pb::ListTasksResponse {
        pb::ListTasksResponse { tasks: std::mem::take(&mut self.tasks), next_page_token }
    }
}

#[cfg(test)]
mod tests;

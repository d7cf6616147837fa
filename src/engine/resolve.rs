//! What commands leave unsaid and the database knows: whose a task is, and which task a lease is of. Read once for a
//! whole batch, before its footprint is drawn up.

use super::answer::Answers;
use super::error::logged;
use super::queue::Job;
use super::work::Asked;
use crate::ledger::{Limits, Rejection, Text};
use crate::store::Reader;

/// Looks up the users of task-keyed commands that named none, and the models of selections that leave it to the
/// task, in one read for the whole batch.
pub(super) async fn users(jobs: Vec<Job>, reader: &dyn Reader) -> Vec<Job> {
    let mut unresolved: Vec<Text> =
        jobs.iter().filter_map(|job| job.asked.unresolved_task()).cloned().collect();
    if unresolved.is_empty() {
        return jobs;
    }
    unresolved.sort_unstable();
    unresolved.dedup();
    let mut owners = reader.task_owners(&unresolved).await.map_err(|error| logged(&error));
    if let Ok(owners) = &mut owners {
        owners.sort_unstable();
    }
    jobs.into_iter()
        .filter_map(|mut job| {
            let Some(task_id) = job.asked.unresolved_task().cloned() else { return Some(job) };
            let owners = match &owners {
                Ok(owners) => owners,
                Err(error) => {
                    job.answer(Err(error.clone()));
                    return None;
                }
            };
            match owners.binary_search_by(|owner| owner.task_id.cmp(&task_id)) {
                Ok(found) => {
                    job.asked.resolve(&owners[found]);
                    Some(job)
                }
                Err(_) => {
                    job.answer(Ok(Answers::Ledger(vec![Err(Rejection::TaskNotFound(task_id))])));
                    None
                }
            }
        })
        .collect()
}

/// Looks up the tasks of reports that give fal's id of the job, in one read for the whole batch.
pub(super) async fn leases(jobs: Vec<Job>, reader: &dyn Reader, limits: &Limits) -> Vec<Job> {
    let mut lease_ids: Vec<Text> =
        jobs.iter().filter_map(|job| job.asked.unresolved_lease()).cloned().collect();
    if lease_ids.is_empty() {
        return jobs;
    }
    lease_ids.sort_unstable();
    lease_ids.dedup();
    let found = reader.leases(&lease_ids).await.map_err(|error| logged(&error));
    let resolve = |mut job: Job| {
        let Some(lease_id) = job.asked.unresolved_lease().cloned() else { return Some(job) };
        match &found {
            Err(error) => {
                job.answer(Err(error.clone()));
                None
            }
            Ok(records) => {
                let record = records.iter().find(|record| record.lease.lease_id == lease_id);
                // A lease that nobody has given is refused in the batch.
                if let (Asked::Keys(work), Some(record)) = (&mut job.asked, record) {
                    work.resolve(record, limits);
                }
                Some(job)
            }
        }
    };
    jobs.into_iter().filter_map(resolve).collect()
}

//! `scrip.v1.ReconciliationService`: each handler hands its request to reconciliation and what that kept back.

use std::pin::Pin;

use futures::stream::{self, Stream};
use prost::Message;
use tonic::{Request, Response, Status};

use super::actor;
use super::convert::reconciliation as convert;
use crate::ledger::Limits;
use crate::pb;
use crate::pb::reconciliation_service_server::ReconciliationService;
use crate::reconcile::{Error, Handle};

/// The service: it speaks to reconciliation alone.
pub(super) struct Reconciliations {
    pub(super) handle: Handle,
}

impl Reconciliations {
    fn limits(&self) -> &Limits {
        self.handle.limits()
    }
}

#[tonic::async_trait]
impl ReconciliationService for Reconciliations {
    async fn query_usage(
        &self,
        request: Request<pb::QueryUsageRequest>,
    ) -> Result<Response<pb::QueryUsageResponse>, Status> {
        let question = convert::usage(request.into_inner(), self.limits())?;
        let answer = self.handle.usage(&question).await?;
        Ok(Response::new(convert::usage_answer(&answer)))
    }

    async fn start_reconciliation(
        &self,
        request: Request<pb::StartReconciliationRequest>,
    ) -> Result<Response<pb::StartReconciliationResponse>, Status> {
        let actor = actor(&request);
        let asked = convert::start(request.into_inner(), self.limits())?;
        let started = self.handle.start(&asked, &actor).await?;
        let mut reconciliation = convert::run(&started.run);
        reconciliation.totals = None;
        Ok(Response::new(pb::StartReconciliationResponse {
            reconciliation: Some(reconciliation),
            replayed: started.replayed,
        }))
    }

    type WatchReconciliationStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchReconciliationResponse, Status>> + Send>>;

    async fn watch_reconciliation(
        &self,
        request: Request<pb::WatchReconciliationRequest>,
    ) -> Result<Response<Self::WatchReconciliationStream>, Status> {
        let run_id = convert::run_id(request.into_inner().reconciliation_id)?;
        // That there is no such run is the answer of the call, not of the stream.
        self.handle.get(run_id).await?;
        let watch = Some(self.handle.watch(run_id));
        let progress = stream::unfold(watch, |watch| async {
            let mut watch = watch?;
            match watch.next().await {
                Ok(Some(seen)) => Some((Ok(convert::progress(&seen)), Some(watch))),
                Ok(None) => None,
                Err(error) => Some((Err(error.into()), None)),
            }
        });
        Ok(Response::new(Box::pin(progress)))
    }

    async fn get_reconciliation(
        &self,
        request: Request<pb::GetReconciliationRequest>,
    ) -> Result<Response<pb::GetReconciliationResponse>, Status> {
        let (run_id, paging) = convert::rows(request.into_inner(), self.limits())?;
        let run = self.handle.get(run_id).await?;
        let mut message = convert::run(&run);
        if paging.after().is_none() {
            let summary = self.handle.summary(&run).await?;
            convert::days_and_models(summary.as_ref(), &mut message);
        }
        let after = paging.after().map(|[layer, number]| (i16::try_from(layer).unwrap_or(i16::MAX), number));
        let rows = self.handle.rows(run_id, after.unwrap_or((0, -1)), paging.fetch()).await?;
        let mut last = None;
        let mut next_page_token = String::new();
        // What is stored is not much shorter than what is sent: near enough to keep a page small.
        let mut bytes = message.encoded_len();
        for (at, row) in rows.iter().enumerate() {
            bytes = bytes.saturating_add(row.content.len());
            if let Some(last) = last.filter(|_| at == paging.size() || bytes > convert::PAGE_BYTES) {
                next_page_token = paging.token(last);
                break;
            }
            convert::add_row(row, &mut message).ok_or(Error::Engine(crate::engine::EngineError::Internal))?;
            last = Some([i64::from(row.layer), row.number]);
        }
        Ok(Response::new(pb::GetReconciliationResponse { reconciliation: Some(message), next_page_token }))
    }

    async fn list_reconciliations(
        &self,
        request: Request<pb::ListReconciliationsRequest>,
    ) -> Result<Response<pb::ListReconciliationsResponse>, Status> {
        let paging = convert::runs(request.into_inner(), self.limits())?;
        let (runs, mut next_page_token) = paging.cut(self.handle.list(paging.first()).await?, |run| [run.id]);
        let mut reconciliations: Vec<_> = runs.iter().map(convert::run).collect();
        convert::fit(&mut reconciliations);
        if let Some(last) = reconciliations.last().filter(|_| reconciliations.len() < runs.len()) {
            next_page_token = paging.token([last.reconciliation_id]);
        }
        Ok(Response::new(pb::ListReconciliationsResponse { reconciliations, next_page_token }))
    }

    async fn list_findings(
        &self,
        request: Request<pb::ListFindingsRequest>,
    ) -> Result<Response<pb::ListFindingsResponse>, Status> {
        let (query, paging) = convert::findings(request.into_inner(), self.limits())?;
        self.handle.get(query.run_id).await?;
        let after = paging.after().map(convert::place_of);
        let rows = self.handle.findings(&query, after, paging.fetch()).await?;
        let (rows, mut next_page_token) = paging.cut(rows, |row| convert::place_numbers(&row.place));
        let mut findings: Vec<_> = rows.iter().map(|row| convert::finding(query.run_id, row)).collect();
        convert::fit(&mut findings);
        if let Some(last) = rows.get(findings.len().wrapping_sub(1)).filter(|_| findings.len() < rows.len()) {
            next_page_token = paging.token(convert::place_numbers(&last.place));
        }
        Ok(Response::new(pb::ListFindingsResponse { findings, next_page_token }))
    }
}

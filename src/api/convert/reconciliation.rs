//! Reconciliation as it is asked for: requests become runs, questions and places in lists.

use prost::Message;

use super::time;
use crate::api::page::Paging;
use crate::audit::{Rule, Severity};
use crate::fal;
use crate::ledger::limits::{Checks, Limits};
use crate::ledger::{Rejection, Text};
use crate::pb;
use crate::reconcile::{FindingQuery, Start, UsageQuestion};

pub(in crate::api) use super::reconciliation_answer::{
    add_row, days_and_models, finding, progress, reason, run, usage_answer,
};

/// Bytes of a page at most: what most clients take is 4 MiB.
pub(in crate::api) const PAGE_BYTES: usize = 3 << 20;
/// Rows of a page of a run if the caller does not say.
const ROWS: i32 = 1_000;

/// The run that is asked for.
pub(in crate::api) fn start(
    request: pb::StartReconciliationRequest,
    limits: &Limits,
) -> Result<Start, Rejection> {
    let mut checks = Checks::new(limits);
    let range = time::range(request.start_time, request.end_time, &mut checks);
    checks.finish().map_err(Rejection::InvalidField)?;
    Ok(Start {
        request_id: request.request_id,
        start: range.start,
        end: range.end,
        account_ids: request.account_ids,
        user_ids: request.user_ids,
        apply_costs: request.apply_costs,
    })
}

/// The question to fal.
pub(in crate::api) fn usage(
    request: pb::QueryUsageRequest,
    limits: &Limits,
) -> Result<UsageQuestion, Rejection> {
    let mut checks = Checks::new(limits);
    let range = time::range(request.start_time, request.end_time, &mut checks);
    let timeframe = match pb::Timeframe::try_from(request.timeframe) {
        Ok(pb::Timeframe::Unspecified) => None,
        Ok(pb::Timeframe::Minute) => Some(fal::Timeframe::Minute),
        Ok(pb::Timeframe::Hour) => Some(fal::Timeframe::Hour),
        Ok(pb::Timeframe::Day) => Some(fal::Timeframe::Day),
        Ok(pb::Timeframe::Week) => Some(fal::Timeframe::Week),
        Ok(pb::Timeframe::Month) => Some(fal::Timeframe::Month),
        Err(_) => {
            let why = format!("must be a value of its enum, {} is none", request.timeframe);
            checks.violation("timeframe", why);
            None
        }
    };
    checks.finish().map_err(Rejection::InvalidField)?;
    Ok(UsageQuestion { account_ids: request.account_ids, start: range.start, end: range.end, timeframe })
}

/// The id of a run.
pub(in crate::api) fn run_id(id: i64) -> Result<i64, Rejection> {
    if id < 1 { Err(Rejection::field("reconciliation_id", "must be 1 or more")) } else { Ok(id) }
}

/// The place in the rows of a run.
pub(in crate::api) fn rows(
    mut request: pb::GetReconciliationRequest,
    limits: &Limits,
) -> Result<(i64, Paging<2>), Rejection> {
    let id = run_id(request.reconciliation_id)?;
    let mut checks = Checks::new(limits);
    let page_size = std::mem::take(&mut request.page_size);
    let page_token = std::mem::take(&mut request.page_token);
    let page_size = if page_size == 0 { ROWS } else { page_size };
    let paging = Paging::read("GetReconciliation", &request, page_size, &page_token, &mut checks);
    checks.finish().map_err(Rejection::InvalidField)?;
    Ok((id, paging))
}

/// The place in the list of runs.
pub(in crate::api) fn runs(
    mut request: pb::ListReconciliationsRequest,
    limits: &Limits,
) -> Result<Paging<1>, Rejection> {
    let mut checks = Checks::new(limits);
    let page_size = std::mem::take(&mut request.page_size);
    let page_token = std::mem::take(&mut request.page_token);
    let paging = Paging::read("ListReconciliations", &request, page_size, &page_token, &mut checks);
    checks.finish().map_err(Rejection::InvalidField)?;
    Ok(paging)
}

/// The findings that are asked for, and the place in them.
pub(in crate::api) fn findings(
    mut request: pb::ListFindingsRequest,
    limits: &Limits,
) -> Result<(FindingQuery, Paging<3>), Rejection> {
    let run_id = run_id(request.reconciliation_id)?;
    let mut checks = Checks::new(limits);
    let page_size = std::mem::take(&mut request.page_size);
    let page_token = std::mem::take(&mut request.page_token);
    let paging = Paging::read("ListFindings", &request, page_size, &page_token, &mut checks);
    let rule = (!request.rule.is_empty()).then(|| Rule::parse(&request.rule));
    if rule == Some(None) {
        checks.violation("rule", "must be A1 to A8 or B1 to B7");
    }
    let severity = match pb::FindingSeverity::try_from(request.severity) {
        Ok(pb::FindingSeverity::Unspecified) => None,
        Ok(pb::FindingSeverity::Low) => Some(Severity::Low),
        Ok(pb::FindingSeverity::Medium) => Some(Severity::Medium),
        Ok(pb::FindingSeverity::High) => Some(Severity::High),
        Err(_) => {
            checks
                .violation("severity", format!("must be a value of its enum, {} is none", request.severity));
            None
        }
    };
    checks.finish().map_err(Rejection::InvalidField)?;
    let query = FindingQuery {
        run_id,
        rule: rule.flatten().map(|rule| rule.as_str().into()),
        severity: severity.map(|severity| severity.as_str().into()),
    };
    Ok((query, paging))
}

/// A finding's place as the numbers of a page token, and back: a rule is its number among the rules.
pub(in crate::api) fn place_numbers((rank, rule, number): &(i16, Text, i64)) -> [i64; 3] {
    let rule = Rule::ALL.iter().position(|known| known.as_str() == &**rule).unwrap_or(Rule::ALL.len());
    [i64::from(*rank), i64::try_from(rule).unwrap_or(i64::MAX), *number]
}

/// See [`place_numbers`]; what no token of ours holds is the end of the list.
pub(in crate::api) fn place_of([rank, rule, number]: [i64; 3]) -> (i16, &'static str, i64) {
    let rule = usize::try_from(rule).ok().and_then(|at| Rule::ALL.get(at)).map_or("~", |rule| rule.as_str());
    (i16::try_from(rank).unwrap_or(i16::MAX), rule, number)
}

/// Cuts messages to as many as fit into a page, at least one: a page must lead on.
pub(in crate::api) fn fit<M: Message>(messages: &mut Vec<M>) {
    let mut bytes = 0_usize;
    let fitting = messages.iter().take_while(|message| {
        bytes = bytes.saturating_add(message.encoded_len());
        bytes <= PAGE_BYTES
    });
    let fitting = fitting.count().max(1);
    messages.truncate(fitting);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_finding_survives_a_page_token() {
        for rule in Rule::ALL {
            let place = (2, Text::from(rule.as_str()), 41);
            assert_eq!(place_of(place_numbers(&place)), (2, rule.as_str(), 41));
        }
    }

    #[test]
    fn a_page_takes_what_fits_and_one_row_at_least() {
        let row = |bytes: usize| pb::Finding { message: "x".repeat(bytes), ..pb::Finding::default() };
        let mut many = vec![row(PAGE_BYTES / 2), row(PAGE_BYTES / 3), row(PAGE_BYTES / 3)];
        fit(&mut many);
        let mut large = vec![row(PAGE_BYTES * 2), row(1)];
        fit(&mut large);
        assert_eq!((many.len(), large.len()), (2, 1));
    }
}

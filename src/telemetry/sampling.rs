//! Which traces are kept.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use super::otlp::variable;

/// Which traces that begin here are kept: by the option, else as OpenTelemetry's variables say.
pub(super) fn sampler(ratio: Option<f64>) -> Result<Sampler, String> {
    let parent_based = |root: Sampler| Sampler::ParentBased(Box::new(root));
    if let Some(ratio) = ratio {
        return Ok(parent_based(Sampler::TraceIdRatioBased(ratio)));
    }
    let argument = || match variable("OTEL_TRACES_SAMPLER_ARG") {
        None => Ok(1.0),
        Some(share) => {
            share.parse().map_err(|_| "OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1".to_owned())
        }
    };
    Ok(match variable("OTEL_TRACES_SAMPLER").as_deref() {
        None | Some("parentbased_always_on") => parent_based(Sampler::AlwaysOn),
        Some("parentbased_always_off") => parent_based(Sampler::AlwaysOff),
        Some("parentbased_traceidratio") => parent_based(Sampler::TraceIdRatioBased(argument()?)),
        Some("always_on") => Sampler::AlwaysOn,
        Some("always_off") => Sampler::AlwaysOff,
        Some("traceidratio") => Sampler::TraceIdRatioBased(argument()?),
        Some(_) => return Err("OTEL_TRACES_SAMPLER: not a sampler that scrip knows".to_owned()),
    })
}

/// A batch is kept if one of the calls it is linked to is; everything else as the sampler says.
#[derive(Clone, Debug)]
pub(super) struct AsRequests(pub(super) Sampler);

impl ShouldSample for AsRequests {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if links.is_empty() {
            return self.0.should_sample(parent, trace_id, name, kind, attributes, links);
        }
        let is_kept = links.iter().any(|link| link.span_context.is_sampled());
        SamplingResult {
            decision: if is_kept { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop },
            attributes: Vec::new(),
            trace_state: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};

    use super::*;

    fn link(is_kept: bool) -> Link {
        let flags = if is_kept { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let (trace, span) = (TraceId::from(7), SpanId::from(7));
        Link::with_context(SpanContext::new(trace, span, flags, false, TraceState::default()))
    }

    fn decision(sampler: Sampler, links: &[Link]) -> SamplingDecision {
        let result = AsRequests(sampler).should_sample(
            None,
            TraceId::from(9),
            "batch",
            &SpanKind::Internal,
            &[],
            links,
        );
        result.decision
    }

    #[test]
    fn a_batch_is_kept_where_one_of_its_calls_is_whatever_the_share_of_traces() {
        let is_kept = |sampler, links: &[Link]| decision(sampler, links) == SamplingDecision::RecordAndSample;
        assert!(is_kept(Sampler::AlwaysOff, &[link(false), link(true)]));
        assert!(!is_kept(Sampler::AlwaysOn, &[link(false), link(false)]));
        assert!(is_kept(Sampler::AlwaysOn, &[]));
        assert!(!is_kept(Sampler::AlwaysOff, &[]));
    }
}

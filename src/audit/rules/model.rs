//! The rules on models and stray requests: A2, A3.

use super::super::{Evidence, Finding, Micros, Rule, Text, Thresholds};

/// The completed tasks of a model that users pay for and that have no bill, once the lag has passed and where it is
/// known that there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unbilled {
    /// How many.
    pub tasks: u64,
    /// What is left of their charges, in points.
    pub net_points: i128,
    /// The first of them by id, to look at.
    pub task_ids: std::collections::BTreeSet<Text>,
}

/// How many ids of tasks a finding on a model names.
pub const SAMPLES: usize = 10;

impl Unbilled {
    /// Counts one more task.
    pub fn add(&mut self, task_id: &Text, net_points: i64) {
        self.tasks = self.tasks.saturating_add(1);
        self.net_points = self.net_points.saturating_add(net_points.into());
        let full = self.task_ids.len() >= SAMPLES;
        if !full || self.task_ids.last().is_some_and(|last| task_id < last) {
            self.task_ids.insert(Text::clone(task_id));
            if full {
                self.task_ids.pop_last();
            }
        }
    }
}

/// A2: completed tasks with money left charged for a model of which fal bills nothing at all: not through any
/// workspace, neither in the period nor for any of its tasks nor in its usage.
pub fn a2(model: &Text, unbilled: &Unbilled, billed_nano_usd: i128) -> Option<Finding> {
    if unbilled.tasks == 0 || billed_nano_usd > 0 {
        return None;
    }
    let task_ids: Vec<Text> = unbilled.task_ids.iter().cloned().collect();
    let evidence = Evidence::new([
        ("tasks", unbilled.tasks.into()),
        ("net_points", unbilled.net_points.into()),
        ("billed_nano_usd", billed_nano_usd.into()),
        ("task_ids", task_ids.into()),
    ]);
    Some(Finding { app_name: Some(Text::clone(model)), ..Finding::new(Rule::A2, evidence) })
}

/// A request of the period that no attempt of any task has.
#[derive(Clone, Copy, Debug)]
pub struct Stray<'a> {
    /// The workspace that was billed.
    pub workspace: &'a Text,
    /// The model.
    pub model: &'a Text,
    /// fal's request id.
    pub request_id: &'a Text,
    /// How many events.
    pub events: u64,
    /// What they sum up to, in nano-USD.
    pub billed_nano_usd: i128,
    /// The time of the newest.
    pub billed_time: Micros,
}

/// A3, of a request: fal bills it and no task has it. A request younger than the lag may yet be recorded.
pub fn a3_request(stray: &Stray<'_>, now: Micros, thresholds: &Thresholds) -> Option<Finding> {
    if stray.billed_nano_usd <= 0 || now.since(stray.billed_time) < thresholds.billing_lag_micros {
        return None;
    }
    let evidence = Evidence::new([
        ("of", "request".into()),
        ("billed_nano_usd", stray.billed_nano_usd.into()),
        ("billed_time", stray.billed_time.into()),
        ("events", stray.events.into()),
        ("threshold_micros", thresholds.billing_lag_micros.into()),
    ]);
    Some(Finding {
        workspace: Some(Text::clone(stray.workspace)),
        online_task_id: Some(Text::clone(stray.request_id)),
        app_name: Some(Text::clone(stray.model)),
        ..Finding::new(Rule::A3, evidence)
    })
}

/// A3, of a model: fal's usage charges for it, no task ran it, and no event of it tells which request it was. (Where
/// events tell, [`a3_request`] names each.)
pub fn a3_model(
    workspace: &Text,
    model: &Text,
    usage_nano_usd: i128,
    tasks: u64,
    events: u64,
) -> Option<Finding> {
    if usage_nano_usd <= 0 || tasks > 0 || events > 0 {
        return None;
    }
    let evidence = Evidence::new([("of", "model".into()), ("billed_nano_usd", usage_nano_usd.into())]);
    Some(Finding {
        workspace: Some(Text::clone(workspace)),
        app_name: Some(Text::clone(model)),
        ..Finding::new(Rule::A3, evidence)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::Language;
    use super::super::sample::at;
    use super::*;

    fn unbilled(tasks: u64) -> Unbilled {
        let mut unbilled = Unbilled::default();
        for number in 0..tasks {
            unbilled.add(&format!("t{number:02}").into(), 100);
        }
        unbilled
    }

    #[test]
    fn a2_fires_for_a_model_that_users_pay_and_fal_bills_nothing_for() {
        let finding = a2(&"m".into(), &unbilled(2), 0).expect("fires");
        assert_eq!(
            finding.message(Language::English),
            "Model m: 2 completed tasks were charged 200 points, and fal bills nothing for the model."
        );
    }

    #[test]
    fn a2_does_not_fire_where_anything_is_billed_or_nothing_charged() {
        assert!(a2(&"m".into(), &unbilled(2), 1).is_none());
        assert!(a2(&"m".into(), &unbilled(0), 0).is_none());
    }

    #[test]
    fn a2_counts_every_task_and_names_the_first_ten_in_whatever_order_they_come() {
        let mut backwards = Unbilled::default();
        for number in (0..25).rev() {
            backwards.add(&format!("t{number:02}").into(), 100);
        }
        assert_eq!(backwards, unbilled(25));
        assert_eq!((backwards.tasks, backwards.task_ids.len()), (25, SAMPLES));
        assert_eq!(backwards.task_ids.last().map(|id| &**id), Some("t09"));
    }

    fn stray(billed: i128, age: i64) -> Option<Finding> {
        let (workspace, model, request_id) = ("w".into(), "m".into(), "r".into());
        let stray = Stray {
            workspace: &workspace,
            model: &model,
            request_id: &request_id,
            events: 1,
            billed_nano_usd: billed,
            billed_time: at(0),
        };
        a3_request(&stray, at(age), &Thresholds::default())
    }

    #[test]
    fn a3_fires_for_a_billed_request_without_a_task_once_the_lag_has_passed() {
        let lag = Thresholds::default().billing_lag_micros;
        assert!(stray(1, lag - 1).is_none(), "it may yet be recorded");
        let finding = stray(25_000_000, lag).expect("fires");
        assert_eq!(
            finding.message(Language::English),
            "Workspace w: fal billed 0.025 USD for request r of m, which belongs to no task."
        );
        assert!(stray(0, lag).is_none(), "nothing was billed");
    }

    #[test]
    fn a3_fires_for_a_model_that_only_the_usage_knows() {
        let judge = |cost, tasks, events| a3_model(&"w".into(), &"m".into(), cost, tasks, events);
        let finding = judge(1_000_000_000, 0, 0).expect("fires");
        assert_eq!(
            finding.message(Language::Chinese),
            "工作区 w：fal 用量中模型 m 计费 1 美元，但没有任何任务使用过该模型。"
        );
        assert!(judge(0, 0, 0).is_none() && judge(1, 1, 0).is_none() && judge(1, 0, 1).is_none());
    }

    #[test]
    fn an_id_that_two_users_share_takes_the_place_of_no_other() {
        let mut shared = unbilled(10);
        shared.add(&"t09".into(), 100);
        assert_eq!((shared.tasks, &shared.task_ids), (11, &unbilled(10).task_ids));
    }
}

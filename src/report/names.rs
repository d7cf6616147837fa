//! What severities, rules, ids and figures of findings are called, in every language.

use crate::audit::{Language, Rule, Severity};

/// How much a finding matters, in words.
pub(super) const fn severity(severity: Severity, language: Language) -> &'static str {
    match (severity, language) {
        (_, Language::English) => severity.as_str(),
        (Severity::High, Language::Chinese) => "高",
        (Severity::Medium, Language::Chinese) => "中",
        (Severity::Low, Language::Chinese) => "低",
    }
}

/// What a rule is about, in a few words.
pub(super) const fn rule(rule: Rule, language: Language) -> &'static str {
    let (en, zh) = match rule {
        Rule::A1 => ("bill and records differ", "账单与记录不符"),
        Rule::A2 => ("charged, never billed", "已收费而无计费"),
        Rule::A3 => ("billed, no task", "计费而无任务"),
        Rule::A4 => ("tasks and ledger differ", "任务与账本不符"),
        Rule::A5 => ("many refunds", "退款过多"),
        Rule::A6 => ("unusual spending", "消费异常"),
        Rule::A7 => ("free task that costs", "免费任务有成本"),
        Rule::A8 => ("low balance", "余额不足"),
        Rule::B1 => ("reported and billed differ", "上报与计费不符"),
        Rule::B2 => ("refunded, yet billed", "已退款仍计费"),
        Rule::B3 => ("billed, not settled", "已计费未结算"),
        Rule::B4 => ("ledger broken", "账本自相矛盾"),
        Rule::B5 => ("sold below cost", "低于成本出售"),
        Rule::B6 => ("charged, stuck", "已收费而停滞"),
        Rule::B7 => ("usage and events differ", "用量与事件不符"),
    };
    match language {
        Language::English => en,
        Language::Chinese => zh,
    }
}

/// What fal is asked for; the word itself where this version does not know it.
pub(super) fn source(source: &'static str, language: Language) -> &'static str {
    match (source, language) {
        ("billing_events", Language::English) => "billing events",
        ("billing_events", Language::Chinese) => "计费事件",
        ("usage", Language::Chinese) => "用量",
        ("balance", Language::Chinese) => "余额",
        (other, _) => other,
    }
}

/// What an id or a figure of a finding is called. `None` for a name that this version does not know: then the name
/// itself is printed.
pub(super) fn figure(name: &str, language: Language) -> Option<&'static str> {
    let at = FIGURES.binary_search_by(|(have, ..)| (*have).cmp(name)).ok()?;
    FIGURES.get(at).map(|(_, en, zh)| match language {
        Language::English => *en,
        Language::Chinese => *zh,
    })
}

/// Sorted by name.
const FIGURES: &[(&str, &str, &str)] = &[
    ("account_id", "account", "账号"),
    ("account_ids", "accounts", "账号"),
    ("active_days", "active days", "活跃天数"),
    ("active_days_points", "points of the active days", "活跃日积分"),
    ("age_micros", "age", "已历时"),
    ("app_name", "model", "模型"),
    ("balance_nano_usd", "balance", "余额"),
    ("balance_time", "balance of", "余额时间"),
    ("billed_nano_usd", "billed", "计费"),
    ("billed_time", "billed at", "计费时间"),
    ("charged_points", "points charged", "收取积分"),
    ("consumed_cash_points", "consumed from cash", "消耗现金"),
    ("consumed_points", "points consumed", "消耗积分"),
    ("cost_nano_usd", "cost", "成本"),
    ("cost_source", "cost as", "成本来源"),
    ("created_time", "created at", "创建时间"),
    ("day", "day", "日期"),
    ("difference_nano_usd", "difference", "差额"),
    ("difference_points", "difference in points", "积分差额"),
    ("end_time", "until", "止于"),
    ("events", "events", "事件数"),
    ("events_nano_usd", "events' sum", "事件合计"),
    ("expected", "expected", "应为"),
    ("factor", "factor", "倍数"),
    ("fen_per_usd_numerator", "fen per USD", "每美元分"),
    ("found", "found", "实为"),
    ("gap_nano_usd", "gap", "差距"),
    ("held_points", "points held", "冻结积分"),
    ("key", "row", "行"),
    ("net_points", "net points", "净积分"),
    ("online_task_id", "request", "请求"),
    ("recorded_nano_usd", "recorded", "记录"),
    ("refunded_points", "points refunded", "退还积分"),
    ("reported_nano_usd", "reported", "上报"),
    ("request_ids", "requests", "请求"),
    ("start_time", "from", "始于"),
    ("status", "status", "状态"),
    ("table", "table", "表"),
    ("task_id", "task", "任务"),
    ("task_ids", "tasks such as", "任务（部分）"),
    ("tasks", "tasks", "任务数"),
    ("threshold_bp", "threshold share", "阈值比例"),
    ("threshold_micros", "threshold", "阈值"),
    ("threshold_nano_usd", "threshold", "阈值"),
    ("threshold_points", "threshold in points", "积分阈值"),
    ("usage_nano_usd", "usage", "用量合计"),
    ("user_id", "user", "用户"),
    ("value_nano_usd", "value", "折合"),
    ("what", "what", "项目"),
    ("window_days", "window in days", "窗口天数"),
    ("workspace", "workspace", "工作区"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_name() {
        assert!(FIGURES.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted");
        assert_eq!(figure("billed_nano_usd", Language::English), Some("billed"));
        assert_eq!(figure("threshold_bp", Language::Chinese), Some("阈值比例"));
        assert_eq!(figure("of_tomorrow", Language::English), None);
    }

    #[test]
    fn every_rule_has_a_name_in_every_language() {
        for rule in Rule::ALL {
            assert!(super::rule(*rule, Language::English).is_ascii(), "{rule}");
            assert!(!super::rule(*rule, Language::Chinese).is_ascii(), "{rule}");
        }
    }
}

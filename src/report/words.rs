//! Every word of the terminal report and of the page, in every language, in one catalogue. What a finding says is in the
//! audit's own (`audit::Finding::message`).

use crate::audit::{Language, Rule, Severity};

/// The words of one language. `{}` stands for a figure, in the order they are given.
#[derive(Debug)]
pub(super) struct Words {
    /// The language's tag, as in HTML's `lang`.
    pub(super) tag: &'static str,
    pub(super) title: &'static str,
    pub(super) period: &'static str,
    pub(super) as_of: &'static str,
    pub(super) rates: &'static str,
    pub(super) layer1: &'static str,
    pub(super) layer2: &'static str,
    pub(super) layer3: &'static str,
    pub(super) money: &'static str,
    pub(super) by_day: &'static str,
    pub(super) findings: &'static str,
    pub(super) counts: &'static str,
    pub(super) nothing: &'static str,
    pub(super) no_findings: &'static str,
    pub(super) total: &'static str,
    pub(super) ok: &'static str,
    pub(super) not_ok: &'static str,
    pub(super) unknown: &'static str,
    pub(super) columns: Columns,
    pub(super) amounts: Amounts,
    pub(super) notes: Notes,
    pub(super) charts: Charts,
    /// Between the name of a thing and the thing, between things, and between the rules of a count.
    pub(super) colon: &'static str,
    pub(super) comma: &'static str,
}

/// Titles of columns.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) account: &'static str,
    pub(super) balance: &'static str,
    pub(super) official: &'static str,
    pub(super) model: &'static str,
    pub(super) model_cost: &'static str,
    pub(super) events: &'static str,
    pub(super) units: &'static str,
    pub(super) user: &'static str,
    pub(super) tasks: &'static str,
    pub(super) charged: &'static str,
    pub(super) refunded: &'static str,
    pub(super) without_cost: &'static str,
    pub(super) cost: &'static str,
    pub(super) points: &'static str,
    pub(super) cash: &'static str,
    pub(super) credited: &'static str,
    pub(super) difference: &'static str,
    pub(super) agrees: &'static str,
    pub(super) day: &'static str,
    pub(super) net: &'static str,
    pub(super) revenue: &'static str,
    pub(super) quoted: &'static str,
    pub(super) margin: &'static str,
}

/// What the summary names.
#[derive(Debug)]
pub(super) struct Amounts {
    pub(super) amount: &'static str,
    pub(super) at_quote: &'static str,
    pub(super) at_real: &'static str,
    pub(super) net_points: &'static str,
    pub(super) revenue: &'static str,
    pub(super) cost: &'static str,
    pub(super) margin: &'static str,
    pub(super) share: &'static str,
    pub(super) official: &'static str,
}

/// Sentences with figures.
#[derive(Debug)]
pub(super) struct Notes {
    pub(super) incomplete: &'static str,
    pub(super) strays: &'static str,
    pub(super) repeated: &'static str,
    pub(super) pending: &'static str,
    pub(super) unjudged: &'static str,
    pub(super) without_cost: &'static str,
    pub(super) not_ok: &'static str,
    pub(super) rows_left_out: &'static str,
    pub(super) findings_left_out: &'static str,
    pub(super) agree: &'static str,
    pub(super) disagree: &'static str,
    pub(super) worth_a_look: &'static str,
}

/// Words of the charts.
#[derive(Debug)]
pub(super) struct Charts {
    pub(super) by_day: &'static str,
    pub(super) by_day_note: &'static str,
    pub(super) by_week_note: &'static str,
    pub(super) margin: &'static str,
    pub(super) margin_note: &'static str,
    pub(super) account: &'static str,
    pub(super) account_note: &'static str,
    pub(super) rules: &'static str,
    pub(super) rules_note: &'static str,
    pub(super) figures: &'static str,
    pub(super) others: &'static str,
}

impl Words {
    /// The words of a language.
    pub(super) const fn of(language: Language) -> &'static Words {
        match language {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}

/// Puts figures into a sentence, in order.
pub(super) fn fill(sentence: &str, figures: &[&str]) -> String {
    let mut out = String::with_capacity(sentence.len().saturating_add(16));
    let mut figures = figures.iter();
    for (at, part) in sentence.split("{}").enumerate() {
        if at > 0 {
            out.push_str(figures.next().copied().unwrap_or("?"));
        }
        out.push_str(part);
    }
    out
}

static ENGLISH: Words = Words {
    tag: "en",
    title: "Three-layer audit",
    period: "{} to {}",
    as_of: "evidence of {}",
    rates: "quotes at {} points per USD, valued at {} fen per USD",
    layer1: "Layer 1: what fal billed",
    layer2: "Layer 2: what the tasks say",
    layer3: "Layer 3: what the users paid",
    money: "Money",
    by_day: "By day",
    findings: "Findings",
    counts: "Counts",
    nothing: "(nothing)",
    no_findings: "No findings.",
    total: "Total",
    ok: "OK",
    not_ok: "NOT OK",
    unknown: "unknown",
    columns: Columns {
        account: "Account",
        balance: "Balance USD",
        official: "Official USD",
        model: "Model",
        model_cost: "Cost USD",
        events: "Events",
        units: "Units",
        user: "User",
        tasks: "Tasks",
        charged: "Charged",
        refunded: "Refunded",
        without_cost: "No cost yet",
        cost: "Cost USD",
        points: "From points",
        cash: "From cash",
        credited: "Credited",
        difference: "Difference",
        agrees: "Agrees",
        day: "Day",
        net: "Net points",
        revenue: "Revenue USD",
        quoted: "Quoted USD",
        margin: "Margin USD",
    },
    amounts: Amounts {
        amount: "Amount",
        at_quote: "At {} points/USD",
        at_real: "At {} fen/USD",
        net_points: "Net points charged",
        revenue: "Revenue USD",
        cost: "Cost of the tasks USD",
        margin: "Margin USD",
        share: "Margin of revenue",
        official: "Official cost USD",
    },
    notes: Notes {
        incomplete: "Workspaces not fetched to the end (*): {}. What is missing there proves nothing.",
        strays: "Requests that belong to no task: {}, billed {} USD.",
        repeated: "Events that came again through a second account of their workspace, counted once: {}.",
        pending: "Tasks too young to have been billed: {}.",
        unjudged: "Tasks without a bill that cannot be judged, since a fetch was not complete: {}.",
        without_cost: "Tasks with neither a billed nor a reported cost: {}.",
        not_ok: "Users that do not agree: {} of {}.",
        rows_left_out: "Rows not shown: {}. The formats csv and json have them all.",
        findings_left_out: "Findings not shown: {}. The formats csv and json have them all.",
        agree: "The money agrees.",
        disagree: "The money does not agree. Findings of high severity: {}.",
        worth_a_look: "The money agrees. Findings worth a look: {}.",
    },
    charts: Charts {
        by_day: "Cost and revenue per day",
        by_day_note: "USD, of the tasks created on each day; revenue at {} fen per USD",
        by_week_note: "USD, of the tasks created in each seven days; revenue at {} fen per USD",
        margin: "Margin per model",
        margin_note: "USD and share of revenue; net points at {} fen per USD less cost",
        account: "Cost per account",
        account_note: "USD, as fal bills it; accounts of one workspace share a bill",
        rules: "Findings by rule",
        rules_note: "How often each rule fired",
        figures: "The figures",
        others: "{} others",
    },
    colon: ": ",
    comma: ", ",
};

static CHINESE: Words = Words {
    tag: "zh-CN",
    title: "三层对账",
    period: "{} 至 {}",
    as_of: "证据截至 {}",
    rates: "报价按每美元 {} 积分，收入按每美元 {} 分折算",
    layer1: "第一层：fal 的计费",
    layer2: "第二层：任务的记录",
    layer3: "第三层：用户的支付",
    money: "收支",
    by_day: "按日",
    findings: "发现",
    counts: "统计",
    nothing: "（无）",
    no_findings: "没有发现问题。",
    total: "合计",
    ok: "一致",
    not_ok: "不一致",
    unknown: "未知",
    columns: Columns {
        account: "账号",
        balance: "余额 USD",
        official: "官方成本 USD",
        model: "模型",
        model_cost: "成本 USD",
        events: "事件",
        units: "用量",
        user: "用户",
        tasks: "任务",
        charged: "收取积分",
        refunded: "退还积分",
        without_cost: "尚无成本",
        cost: "成本 USD",
        points: "消耗积分",
        cash: "消耗现金",
        credited: "入账",
        difference: "差额",
        agrees: "核对",
        day: "日期",
        net: "净积分",
        revenue: "收入 USD",
        quoted: "报价 USD",
        margin: "毛利 USD",
    },
    amounts: Amounts {
        amount: "数额",
        at_quote: "按 {} 积分/美元",
        at_real: "按 {} 分/美元",
        net_points: "净收取积分",
        revenue: "收入 USD",
        cost: "任务成本 USD",
        margin: "毛利 USD",
        share: "毛利率",
        official: "官方成本 USD",
    },
    notes: Notes {
        incomplete: "{} 个工作区未能取全（*）：其中缺少的数据不能作为依据。",
        strays: "{} 个请求计费 {} 美元，但没有对应的任务。",
        repeated: "{} 条事件经同一工作区的另一个账号重复取得，只计一次。",
        pending: "{} 个任务太新，尚未到计费时间。",
        unjudged: "{} 个没有账单的任务无法判断：数据未能取全。",
        without_cost: "{} 个任务既没有计费成本，也没有上报成本。",
        not_ok: "{} 个用户不一致，共 {} 个用户。",
        rows_left_out: "未列出 {} 行；csv 与 json 格式包含全部。",
        findings_left_out: "未列出 {} 条发现；csv 与 json 格式包含全部。",
        agree: "账目一致。",
        disagree: "账目不一致：{} 条高严重度发现。",
        worth_a_look: "账目一致；另有 {} 条发现值得一看。",
    },
    charts: Charts {
        by_day: "每日成本与收入",
        by_day_note: "美元，按任务创建日；收入按每美元 {} 分折算",
        by_week_note: "美元，按任务创建日每七天合计；收入按每美元 {} 分折算",
        margin: "各模型毛利",
        margin_note: "美元及占收入比例；净积分按每美元 {} 分折算后减去成本",
        account: "各账号成本",
        account_note: "美元，以 fal 计费为准；同一工作区的账号共用一份账单",
        rules: "各规则的发现",
        rules_note: "每条规则触发的次数",
        figures: "数据",
        others: "其余 {} 项",
    },
    colon: "：",
    comma: "，",
};

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
    ("threshold_bp", "threshold", "阈值"),
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
    fn sentences_take_the_same_figures_in_every_language() {
        // Debug prints every word in the order of its field: one language's gaps are the other's.
        let gaps = |words: &Words| {
            let printed = format!("{words:?}");
            printed.split("\", ").map(|field| field.matches("{}").count()).collect::<Vec<_>>()
        };
        assert_eq!(gaps(&ENGLISH), gaps(&CHINESE));
        assert!(gaps(&ENGLISH).iter().sum::<usize>() > 10);
    }

    #[test]
    fn no_word_is_missing_or_left_in_the_other_language() {
        let (english, chinese) = (format!("{ENGLISH:?}"), format!("{CHINESE:?}"));
        assert!(!english.contains("\"\"") && !chinese.contains("\"\""));
        assert!(!english.contains(|c: char| c > '\u{2e80}'));
        for rule in Rule::ALL {
            assert!(super::rule(*rule, Language::English).is_ascii(), "{rule}");
            assert!(!super::rule(*rule, Language::Chinese).is_ascii(), "{rule}");
        }
    }

    #[test]
    fn figures_are_found_by_name() {
        assert!(FIGURES.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted");
        assert_eq!(figure("billed_nano_usd", Language::English), Some("billed"));
        assert_eq!(figure("threshold_bp", Language::Chinese), Some("阈值"));
        assert_eq!(figure("of_tomorrow", Language::English), None);
    }

    #[test]
    fn a_sentence_is_filled_in_order() {
        assert_eq!(fill("{} of {}", &["1", "{}"]), "1 of {}");
        assert_eq!(fill("none", &["1"]), "none");
        assert_eq!(fill("{}", &[]), "?");
    }
}

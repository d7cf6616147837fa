//! Every word of the terminal report and of the page, in every language, in one catalogue; what rules and figures
//! are called is in `names`. What a finding says is in the audit's own (`audit::Finding::message`).

use crate::audit::Language;

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
    pub(super) gaps: &'static str,
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
    pub(super) not_fetched: &'static str,
    pub(super) unlisted: &'static str,
    pub(super) agree: &'static str,
    pub(super) empty: &'static str,
    pub(super) partial: &'static str,
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
    gaps: "Missing",
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
        not_fetched: "Not fetched: account {} ({}), workspace {}, {}: {} ({}).",
        unlisted: "Disagreements of the ledger beyond those listed as B4: {}. `scrip verify` names them all.",
        agree: "The money agrees.",
        empty: "Nothing happened in this period.",
        partial: "No disagreement found, but the evidence is not complete. Findings: {}.",
        disagree: "The money does not agree. Findings of high severity: {}, users that do not agree: {}.",
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
    gaps: "缺失",
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
        not_fetched: "未能取得：账号 {}（{}），工作区 {}，{}：{}（{}）。",
        unlisted: "除列为 B4 的以外，账本另有 {} 处不一致；`scrip verify` 会全部列出。",
        agree: "账目一致。",
        empty: "这段时间没有任何活动。",
        partial: "未发现不一致，但证据不完整。发现：{} 条。",
        disagree: "账目不一致：{} 条高严重度发现，{} 个用户不一致。",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_take_the_same_figures_in_every_language() {
        // Debug prints every word in quotes, in the order of its field.
        let gaps = |words: &Words| {
            let printed = format!("{words:?}");
            let said = printed.split('"').skip(1).step_by(2);
            said.map(|word| word.matches("{}").count()).collect::<Vec<_>>()
        };
        assert_eq!(gaps(&ENGLISH), gaps(&CHINESE));
        assert!(gaps(&ENGLISH).iter().sum::<usize>() > 10);
    }

    #[test]
    fn no_word_is_missing_or_left_in_the_other_language() {
        let (english, chinese) = (format!("{ENGLISH:?}"), format!("{CHINESE:?}"));
        assert!(!english.contains("\"\"") && !chinese.contains("\"\""));
        assert!(!english.contains(|c: char| c > '\u{2e80}'));
    }

    #[test]
    fn a_sentence_is_filled_in_order() {
        assert_eq!(fill("{} of {}", &["1", "{}"]), "1 of {}");
        assert_eq!(fill("none", &["1"]), "none");
        assert_eq!(fill("{}", &[]), "?");
    }
}

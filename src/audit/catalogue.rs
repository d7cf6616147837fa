//! What findings say to people: one catalogue, by rule, in two languages, filled in with the finding's own figures.

use std::fmt::Write;

use super::words::words;
use super::{Figure, Finding, Micros, Rule};

words! {
    /// A language of messages.
    Language {
        /// English.
        English = "en",
        /// Chinese, simplified.
        Chinese = "zh",
    }
}

/// One message in every language. `{name}` stands for an id or a figure, printed in the unit its name ends with;
/// `{name:one|many}` for the words that go with that number.
struct Phrase {
    en: &'static str,
    zh: &'static str,
}

impl Finding {
    /// What the rule has to say, with its figures.
    pub fn message(&self, language: Language) -> String {
        let phrase = phrase(self);
        let template = match language {
            Language::English => phrase.en,
            Language::Chinese => phrase.zh,
        };
        let mut message = String::with_capacity(template.len().saturating_mul(2));
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            message.push_str(before);
            self.print(name, language, &mut message);
            rest = after;
        }
        message.push_str(rest);
        message
    }

    /// Whether the message prints the id or figure of this name.
    pub fn says(&self, name: &str) -> bool {
        let template = phrase(self).en;
        template.split('{').skip(1).any(|rest| rest.split_once('}').is_some_and(|(said, _)| said == name))
    }

    /// Prints an id, else a figure; `?` for what the finding does not have.
    fn print(&self, name: &str, language: Language, out: &mut String) {
        if let Some((name, (one, many))) = words_of_number(name) {
            return out.push_str(if self.evidence.number(name) == Some(1) { one } else { many });
        }
        let number = |id: Option<i64>| id.map(|id| Figure::Number(id.into()));
        let text = |id: &Option<super::Text>| id.as_ref().map(Figure::from);
        let id = match name {
            "account_id" => number(self.account_id),
            "user_id" => number(self.user_id),
            "workspace" => text(&self.workspace),
            "task_id" => text(&self.task_id),
            "online_task_id" => text(&self.online_task_id),
            "app_name" => text(&self.app_name),
            _ => None,
        };
        match id.as_ref().or_else(|| self.evidence.get(name)) {
            Some(figure) => figure.print_to(name, language, out),
            None => out.push('?'),
        }
    }
}

/// The words of `name:one|many`.
fn words_of_number(placeholder: &str) -> Option<(&str, (&str, &str))> {
    let (name, words) = placeholder.split_once(':')?;
    Some((name, words.split_once('|')?))
}

impl Figure {
    /// The figure as messages print it, in the unit that its name in the [`super::Evidence`] ends with.
    pub fn print(&self, name: &str, language: Language) -> String {
        let mut out = String::new();
        self.print_to(name, language, &mut out);
        out
    }

    fn print_to(&self, name: &str, language: Language, out: &mut String) {
        match self {
            Figure::Number(number) => print_number(name, *number, language, out),
            Figure::Text(text) => out.push_str(text),
            Figure::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    out.push_str(item);
                }
            }
        }
    }
}

fn print_number(name: &str, number: i128, language: Language, out: &mut String) {
    if name.ends_with("_nano_usd") {
        out.push_str(&decimal(number, 9));
        out.push_str(match language {
            Language::English => " USD",
            Language::Chinese => " 美元",
        });
    } else if name.ends_with("_bp") {
        out.push_str(&decimal(number, 2));
        out.push('%');
    } else if name.ends_with("_micros") {
        print_length(number, language, out);
    } else if name.ends_with("_time") {
        // Writing to a String cannot fail.
        let _ = write!(out, "{}", Micros(i64::try_from(number).unwrap_or(i64::MAX)));
    } else {
        let _ = write!(out, "{number}");
    }
}

/// A number of 10⁻ⁿ units, without trailing zeros: 90,240,000 of 10⁻⁹ is `0.09024`.
fn decimal(number: i128, places: u32) -> String {
    let scale = 10_u128.saturating_pow(places);
    let magnitude = number.unsigned_abs();
    let whole = magnitude.checked_div(scale).unwrap_or_default();
    let rest = magnitude.checked_rem(scale).unwrap_or_default();
    let sign = if number < 0 { "-" } else { "" };
    let fraction = format!("{rest:0width$}", width = places as usize);
    let text = format!("{sign}{whole}.{fraction}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A length of time as people say it: in its largest unit and the next smaller one, rounded to that, a half up. Hours are
/// the largest up to two days: 36 h is a usual way to say it.
fn print_length(micros: i128, language: Language, out: &mut String) {
    const UNITS: [(u128, &str, &str); 6] = [
        (86_400_000_000, " d", " 天"),
        (3_600_000_000, " h", " 小时"),
        (60_000_000, " min", " 分钟"),
        (1_000_000, " s", " 秒"),
        (1_000, " ms", " 毫秒"),
        (1, " µs", " 微秒"),
    ];
    let length = micros.unsigned_abs();
    let fits = |(at, (size, ..)): &(usize, &(u128, &str, &str))| {
        length >= if *at == 0 { size.saturating_mul(2) } else { *size }
    };
    let at = UNITS.iter().enumerate().find(fits).map_or(3, |(at, _)| at);
    let [large, small] = [at, at.saturating_add(1)].map(|at| UNITS.get(at).unwrap_or(&UNITS[5]));
    let half = small.0.checked_div(2).unwrap_or_default();
    let rounded = length.saturating_add(half).checked_div(small.0).unwrap_or_default();
    let of_large = large.0.checked_div(small.0).unwrap_or(1);
    let parts = [
        (rounded.checked_div(of_large).unwrap_or_default(), large),
        (rounded.checked_rem(of_large).unwrap_or_default(), small),
    ];
    out.push_str(if micros < 0 { "-" } else { "" });
    let mut gap = "";
    for (number, (_, en, zh)) in parts.into_iter().enumerate().filter_map(|(place, (number, unit))| {
        (number > 0 || (place == 0 && rounded == 0)).then_some((number, unit))
    }) {
        let unit = match language {
            Language::English => en,
            Language::Chinese => zh,
        };
        let _ = write!(out, "{gap}{number}{unit}");
        gap = " ";
    }
}

fn phrase(finding: &Finding) -> Phrase {
    match finding.rule {
        Rule::A1 => Phrase {
            en: "Workspace {workspace}: fal billed {billed_nano_usd}, its tasks record {recorded_nano_usd}; the gap of {gap_nano_usd} is more than {threshold_bp} of the bill.",
            zh: "工作区 {workspace}：fal 计费 {billed_nano_usd}，任务记录 {recorded_nano_usd}；相差 {gap_nano_usd}，超过账单的 {threshold_bp}。",
        },
        Rule::A2 => Phrase {
            en: "Model {app_name}: {tasks} completed {tasks:task was|tasks were} charged {net_points} {net_points:point|points}, and fal bills nothing for the model.",
            zh: "模型 {app_name}：{tasks} 个已完成任务向用户收取了 {net_points} 积分，而 fal 对该模型没有任何计费。",
        },
        Rule::A3 if finding.evidence.text("of") == Some("model") => Phrase {
            en: "Workspace {workspace}: fal's usage charges {billed_nano_usd} for model {app_name}, which no task ran.",
            zh: "工作区 {workspace}：fal 用量中模型 {app_name} 计费 {billed_nano_usd}，但没有任何任务使用过该模型。",
        },
        Rule::A3 => Phrase {
            en: "Workspace {workspace}: fal billed {billed_nano_usd} for request {online_task_id} of {app_name}, which belongs to no task.",
            zh: "工作区 {workspace}：fal 对请求 {online_task_id}（{app_name}）计费 {billed_nano_usd}，但没有对应的任务。",
        },
        Rule::A4 => Phrase {
            en: "User {user_id}: the tasks charged {charged_points} {charged_points:point|points}, the ledger consumed {consumed_points} {consumed_points:point|points} and {consumed_cash_points} of cash for them; difference {difference_points}.",
            zh: "用户 {user_id}：任务收取 {charged_points} 积分，账本为其消耗积分 {consumed_points}、现金 {consumed_cash_points}；差额 {difference_points}。",
        },
        Rule::A5 if finding.evidence.number("consumed_points") == Some(0) => Phrase {
            en: "User {user_id}, {day}: {refunded_points} {refunded_points:point was|points were} refunded on a day without consumption.",
            zh: "用户 {user_id}，{day}：当日没有消费，却退款 {refunded_points} 积分。",
        },
        Rule::A5 => Phrase {
            en: "User {user_id}, {day}: {refunded_points} {refunded_points:point|points} refunded of {consumed_points} consumed, more than {threshold_bp}.",
            zh: "用户 {user_id}，{day}：消费 {consumed_points} 积分，退款 {refunded_points} 积分，超过 {threshold_bp}。",
        },
        Rule::A6 => Phrase {
            en: "User {user_id}, {day}: {consumed_points} points consumed, more than {factor} times the mean of the {active_days} active days before ({active_days_points} points in all).",
            zh: "用户 {user_id}，{day}：消费 {consumed_points} 积分，超过此前 {active_days} 个活跃日均值（合计 {active_days_points} 积分）的 {factor} 倍。",
        },
        Rule::A7 => Phrase {
            en: "Task {task_id} of user {user_id} ({app_name}) was free and costs {cost_nano_usd}.",
            zh: "用户 {user_id} 的任务 {task_id}（{app_name}）未收费，但成本为 {cost_nano_usd}。",
        },
        Rule::A8 => Phrase {
            en: "Workspace {workspace}: the balance is {balance_nano_usd}, less than {threshold_nano_usd} (accounts {account_ids}).",
            zh: "工作区 {workspace}：余额 {balance_nano_usd}，低于 {threshold_nano_usd}（账号 {account_ids}）。",
        },
        _ => phrase_b(finding),
    }
}

fn phrase_b(finding: &Finding) -> Phrase {
    match finding.rule {
        Rule::B1 => Phrase {
            en: "Task {task_id} ({app_name}): the runner reported {reported_nano_usd}, fal billed {billed_nano_usd}; difference {difference_nano_usd}.",
            zh: "任务 {task_id}（{app_name}）：运行方上报 {reported_nano_usd}，fal 计费 {billed_nano_usd}；差额 {difference_nano_usd}。",
        },
        Rule::B2 => Phrase {
            en: "Task {task_id} of user {user_id} ({app_name}): all {refunded_points} points were refunded, yet fal billed {billed_nano_usd}.",
            zh: "用户 {user_id} 的任务 {task_id}（{app_name}）：{refunded_points} 积分已全额退款，但 fal 仍计费 {billed_nano_usd}。",
        },
        Rule::B3 => Phrase {
            en: "Task {task_id} of user {user_id} ({app_name}): fal billed {billed_nano_usd}, last at {billed_time}, yet here it is {status}.",
            zh: "用户 {user_id} 的任务 {task_id}（{app_name}）：fal 已计费 {billed_nano_usd}（最近 {billed_time}），本地状态却是 {status}。",
        },
        Rule::B4 => Phrase {
            en: "Ledger: {table}, {key}: {what} must be {expected}, is {found}.",
            zh: "账本：{table}，{key}：{what} 应为 {expected}，实为 {found}。",
        },
        Rule::B5 => Phrase {
            en: "Task {task_id} of user {user_id} ({app_name}): {net_points} {net_points:point is|points are} worth {value_nano_usd}, less than the cost of {cost_nano_usd}.",
            zh: "用户 {user_id} 的任务 {task_id}（{app_name}）：{net_points} 积分折合 {value_nano_usd}，低于成本 {cost_nano_usd}。",
        },
        Rule::B6 => Phrase {
            en: "Task {task_id} of user {user_id} ({app_name}): {net_points} {net_points:point|points} charged, {status} for {age_micros}, no live lease and no billing event.",
            zh: "用户 {user_id} 的任务 {task_id}（{app_name}）：已收取 {net_points} 积分，{status} 已 {age_micros}，没有有效租约，也没有计费事件。",
        },
        Rule::B7 if finding.evidence.get("unreadable").is_some() => Phrase {
            en: "Workspace {workspace}: fal's answer cannot be read ({unreadable}): it is kept as it came, and whether usage and events agree cannot be told.",
            zh: "工作区 {workspace}：fal 的应答无法读取（{unreadable}）：原样保留，无法判断用量与事件是否一致。",
        },
        // B7; the A rules have their phrases above.
        _ => Phrase {
            en: "Workspace {workspace}: fal's usage totals {usage_nano_usd}, its {events} billing {events:event|events} {events_nano_usd}; difference {difference_nano_usd}.",
            zh: "工作区 {workspace}：fal 用量合计 {usage_nano_usd}，{events} 条计费事件合计 {events_nano_usd}；差额 {difference_nano_usd}。",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::Evidence;
    use super::*;

    #[test]
    fn figures_are_printed_in_the_unit_their_name_ends_with() {
        let print = |name, number, language| {
            let mut out = String::new();
            print_number(name, number, language, &mut out);
            out
        };
        let en = Language::English;
        assert_eq!(print("cost_nano_usd", 90_240_000, en), "0.09024 USD");
        assert_eq!(print("cost_nano_usd", -5_000_000_000, Language::Chinese), "-5 美元");
        assert_eq!(print("cost_nano_usd", 0, en), "0 USD");
        assert_eq!((print("x_bp", 1_000, en), print("x_bp", 1_255, en)), ("10%".into(), "12.55%".into()));
        assert_eq!(print("age_micros", 90_000_000, en), "1 min 30 s");
        assert_eq!(print("age_micros", 1_800_000_000, Language::Chinese), "30 分钟");
        assert_eq!(print("age_micros", 0, en), "0 s");
        assert_eq!(print("billed_time", 0, en), "1970-01-01 00:00:00 UTC");
        assert_eq!(print("tasks", 12, en), "12");
    }

    #[test]
    fn a_length_of_time_is_told_in_two_units_however_odd_it_is() {
        let print = |micros, language| {
            let mut out = String::new();
            print_length(micros, language, &mut out);
            out
        };
        let cases = [
            (32_834_432_773_334, "380 d 1 h", "380 天 1 小时"),
            (86_400_000_000, "24 h", "24 小时"),
            (93_784_000_000, "26 h 3 min", "26 小时 3 分钟"),
            (172_800_000_000, "2 d", "2 天"),
            (3_599_999_999, "60 min", "60 分钟"),
            (59_999_999, "60 s", "60 秒"),
            (1_500, "1 ms 500 µs", "1 毫秒 500 微秒"),
            (-61_000_000, "-1 min 1 s", "-1 分钟 1 秒"),
            (7, "7 µs", "7 微秒"),
        ];
        for (micros, en, zh) in cases {
            assert_eq!(
                (print(micros, Language::English), print(micros, Language::Chinese)),
                (en.into(), zh.into())
            );
        }
    }

    #[test]
    fn one_of_a_thing_is_told_in_the_singular() {
        let said = |rule, name, count: i64| {
            Finding::new(rule, Evidence::new([(name, count.into())])).message(Language::English)
        };
        assert!(said(Rule::A2, "tasks", 1).contains("1 completed task was charged"));
        assert!(said(Rule::A2, "tasks", 2).contains("2 completed tasks were charged"));
        assert!(said(Rule::B7, "events", 1).contains("its 1 billing event ?"));
        assert!(said(Rule::B7, "events", 0).contains("its 0 billing events ?"));
    }

    #[test]
    fn a_finding_knows_what_its_message_says_and_prints_the_rest_likewise() {
        let ids = Figure::List(vec!["r1".into(), "r2".into()]);
        let finding = Finding::new(Rule::B2, Evidence::new([("request_ids", ids.clone())]));
        assert!(finding.says("task_id") && finding.says("billed_nano_usd"));
        assert!(!finding.says("request_ids") && !finding.says("task"));
        assert_eq!(ids.print("request_ids", Language::Chinese), "r1, r2");
        assert_eq!(Figure::Number(1_800_000_000).print("threshold_micros", Language::English), "30 min");
    }

    #[test]
    fn every_rule_says_the_same_figures_in_every_language() {
        let names = |template: &str| {
            let mut names: Vec<String> = template.split('{').skip(1).map(str::to_owned).collect();
            names.iter_mut().for_each(|name| name.truncate(name.find('}').expect("closed")));
            // Chinese has one form of a word for each number.
            names.retain(|name| !name.contains(':'));
            names.sort();
            names
        };
        let variants = [
            Evidence::default(),
            Evidence::new([("of", "model".into())]),
            Evidence::new([("consumed_points", 0_i64.into())]),
            Evidence::new([("unreadable", vec![].into())]),
        ];
        for rule in Rule::ALL {
            for evidence in &variants {
                let phrase = phrase(&Finding::new(*rule, evidence.clone()));
                assert_eq!(names(phrase.en), names(phrase.zh), "{rule}");
                assert!(!names(phrase.en).is_empty() && phrase.zh.ends_with('。'), "{rule}");
            }
        }
    }

    #[test]
    fn an_id_or_text_that_looks_like_a_placeholder_is_printed_as_it_is() {
        let mut finding = Finding::new(Rule::A7, Evidence::new([("cost_nano_usd", 1_i64.into())]));
        finding.task_id = Some("{user_id}".into());
        let message = finding.message(Language::English);
        assert_eq!(message, "Task {user_id} of user ? (?) was free and costs 0.000000001 USD.");
    }

    #[test]
    fn each_id_of_a_finding_is_printed_by_its_name_and_what_it_has_not_as_a_question_mark() {
        let mut finding = Finding::new(Rule::A1, Evidence::default());
        let names = ["account_id", "user_id", "workspace", "task_id", "online_task_id", "app_name", "else"];
        let printed = |finding: &Finding| {
            names.map(|name| {
                let mut out = String::new();
                finding.print(name, Language::English, &mut out);
                out
            })
        };
        assert_eq!(printed(&finding), ["?"; 7]);
        (finding.account_id, finding.user_id) = (Some(3), Some(7));
        (finding.workspace, finding.task_id) = (Some("w".into()), Some("t1".into()));
        (finding.online_task_id, finding.app_name) = (Some("r1".into()), Some("m".into()));
        assert_eq!(printed(&finding), ["3", "7", "w", "t1", "r1", "m", "?"]);
    }
}

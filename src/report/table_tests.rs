use super::*;

/// Keeps what is printed.
struct Kept(String, Paint);

impl Lines for Kept {
    fn paint(&self) -> Paint {
        self.1
    }

    fn write_line(&mut self, line: &str) -> io::Result<()> {
        self.0.push_str(line);
        self.0.push('\n');
        Ok(())
    }
}

fn printed(print: impl FnOnce(&mut Kept) -> io::Result<()>) -> String {
    let mut kept = Kept(String::new(), Paint(false));
    print(&mut kept).expect("a string");
    kept.0
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|&cell| cell.to_owned()).collect()
}

fn widths(table: &str) -> Vec<usize> {
    table.lines().map(UnicodeWidthStr::width).collect()
}

#[test]
fn wide_characters_take_two_columns() {
    let table = printed(|out| {
        Table::new(&[("TITLE", Side::Left, 0), ("POINTS", Side::Right, 0)])
            .print(out, &[row(&["充值", "7"]), row(&["recharge", "1200"])])
    });
    assert_eq!(table, "TITLE     POINTS\n充值           7\nrecharge    1200\n");
    assert_eq!(widths(&table), [16, 16, 16]);
}

#[test]
fn later_rows_keep_the_columns_and_print_no_second_header() {
    let table = printed(|out| {
        let mut table = Table::new(&[("A", Side::Left, 4), ("B", Side::Left, 0)]);
        table.print(out, &[row(&["1", "x"])])?;
        table.print(out, &[row(&["22", "y"])])
    });
    assert_eq!(table, "A     B\n1     x\n22    y\n");
}

#[test]
fn a_cell_cannot_move_the_cursor_or_turn_the_line() {
    let table = printed(|out| {
        Table::new(&[("T", Side::Left, 0)]).print(out, &[row(&["a\x1b[2Jb\nc\u{9b}\u{202e}d"])])
    });
    assert_eq!(table, "T\na\\u{1b}[2Jb\\nc\\u{9b}\\u{202e}d\n");
}

#[test]
fn colour_changes_no_width_and_is_there_only_when_asked_for() {
    let cells = [vec![
        Cell { text: "a".into(), tone: Tone::Plain },
        Cell { text: "OK".into(), tone: Tone::Good },
        Cell { text: "no".into(), tone: Tone::Bad },
    ]];
    let print = |paint| {
        let mut kept = Kept(String::new(), Paint(paint));
        Table::new(&[("ONE", Side::Left, 0), ("TWO", Side::Right, 0), ("THREE", Side::Left, 0)])
            .print(&mut kept, &cells)
            .expect("a string");
        kept.0
    };
    assert_eq!(print(false), "ONE  TWO  THREE\na     OK  no\n");
    assert_eq!(print(true), "\x1b[1mONE  TWO  THREE\x1b[0m\na     \x1b[32mOK\x1b[0m  \x1b[1;31mno\x1b[0m\n");
}

#[test]
fn names_are_cut_to_the_line_and_figures_never() {
    let rows = [
        row(&["fal-ai/a-very-long-name-of-a-model/schnell", "很长很长很长很长的账号名称", "1,234,567"]),
        row(&["m", "n", "1"]),
    ];
    let table = printed(|out| {
        Table::new(&[("MODEL", Side::Left, 0), ("ACCOUNT", Side::Left, 0), ("POINTS", Side::Right, 0)])
            .within(30, 50)
            .print(out, &rows)
    });
    assert!(widths(&table).iter().all(|width| *width == 50), "{table}");
    assert!(table.contains("1,234,567") && table.contains("..") && table.contains("nell"), "{table}");
    let narrow = printed(|out| {
        Table::new(&[("MODEL", Side::Left, 0), ("ACCOUNT", Side::Left, 0), ("POINTS", Side::Right, 0)])
            .within(30, 1)
            .print(out, &rows)
    });
    assert!(widths(&narrow).iter().all(|width| *width == 8 + 2 + 8 + 2 + 9), "{narrow}");
}

#[test]
fn a_cut_text_is_never_wider_than_it_may_be() {
    let texts = [
        "abcdefghij",
        "一二三四五六",
        "a一b二c三d四",
        "e\u{301}e\u{301}e\u{301}e\u{301}",
        "❤️❤️❤️❤️",
        "👩‍👩‍👧‍👦👩‍👩‍👧‍👦",
        "",
    ];
    for text in texts {
        for width in 0..12 {
            let cut = cut(text, width);
            assert!(cut.width() <= width, "{text:?} to {width}: {cut:?}");
            assert!(text.width() > width || cut == text, "{text:?} to {width}: {cut:?}");
        }
    }
    assert_eq!(cut("fal-ai/flux/schnell", 12), "fal-a..hnell");
    assert_eq!(cut("一二三四五六", 8), "一..五六");
}

#[test]
fn lines_break_at_spaces_and_between_wide_characters_but_before_no_closing_mark() {
    assert_eq!(wrap("one two  three", 8), ["one two", "three"]);
    assert_eq!(wrap("工作区余额不足，请充值。", 8), ["工作区余", "额不足，", "请充值。"]);
    assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
    assert_eq!(wrap("任务 t1（fal-ai/flux）", 9), ["任务 t1", "（fal-ai/", "flux）"]);
    assert_eq!(wrap("", 9), [""]);
    let text = "User 7: 用户 the tasks charged 收取 1000 points，账本 and so on。";
    for width in 4..60 {
        let lines = wrap(text, width);
        assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:?}");
        let joined: String = lines.concat().chars().filter(|c| *c != ' ').collect();
        assert_eq!(joined, text.replace(' ', ""), "{width}");
    }
}

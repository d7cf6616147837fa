//! What people and scripts read: aligned tables, JSON lines, colour where it helps and nowhere else.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::ledger::Micros;

/// Whether the operator's environment allows colour; see no-color.org.
pub(crate) fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Where a command writes its result.
pub(super) struct Out {
    writer: Box<dyn Write + Send>,
    paint: Paint,
}

impl Out {
    /// The process's stdout. Every line is flushed: who follows a command sees each as it is found.
    pub(super) fn stdout() -> Self {
        let on_terminal = io::stdout().is_terminal();
        Self { writer: Box::new(io::stdout()), paint: Paint(on_terminal && colour_wanted()) }
    }

    pub(super) const fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes one line.
    pub(super) fn line(&mut self, line: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.writer, "{}", line.as_ref())?;
        self.writer.flush()
    }

    /// Writes one JSON object on a line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line(serde_json::to_string(value)?)
    }
}

/// Colours, or the plain text where there are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    /// For stderr.
    pub(super) fn stderr() -> Self {
        Self(io::stderr().is_terminal() && colour_wanted())
    }

    pub(super) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(super) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

struct Column {
    title: &'static str,
    side: Side,
    width: usize,
}

/// A table that may be printed row by row: a column keeps the width it has reached, and starts at least as wide as
/// it is told.
pub(super) struct Table {
    columns: Vec<Column>,
    has_header: bool,
}

impl Table {
    pub(super) fn new(columns: &[(&'static str, Side, usize)]) -> Self {
        let columns = columns
            .iter()
            .map(|&(title, side, width)| Column { title, side, width: width.max(title.width()) })
            .collect();
        Self { columns, has_header: false }
    }

    /// Prints all rows at once: each column is as wide as its widest cell.
    pub(super) fn print(&mut self, out: &mut Out, rows: &[Vec<String>]) -> io::Result<()> {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
        for row in &rows {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                column.width = column.width.max(cell.width());
            }
        }
        if !self.has_header {
            self.has_header = true;
            let titles: Vec<String> = self.columns.iter().map(|column| column.title.to_owned()).collect();
            let header = self.aligned(&titles);
            out.line(out.paint().bold(&header))?;
        }
        for row in &rows {
            out.line(self.aligned(row))?;
        }
        Ok(())
    }

    fn aligned(&self, cells: &[String]) -> String {
        let mut line = String::new();
        for (index, (column, cell)) in self.columns.iter().zip(cells).enumerate() {
            let gap = " ".repeat(column.width.saturating_sub(cell.width()));
            if index > 0 {
                line.push_str("  ");
            }
            match column.side {
                Side::Left => line.extend([cell.as_str(), &gap]),
                Side::Right => line.extend([gap.as_str(), cell]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Text that others wrote, safe to print: a title must not move the cursor or break the line.
pub(super) fn plain(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
        shown
    })
}

/// A moment as RFC 3339, UTC.
pub(super) fn moment(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| format!("{} µs", at.0), |time| time.to_string())
}

/// A moment for a column: to the second.
pub(super) fn moment_short(at: Micros) -> String {
    moment(Micros(at.0.div_euclid(1_000_000).saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn printed(print: impl FnOnce(&mut Out) -> io::Result<()>) -> String {
        let kept = Kept::default();
        print(&mut Out { writer: Box::new(kept.clone()), paint: Paint(false) }).unwrap();
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn row(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|&cell| cell.to_owned()).collect()
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let table = printed(|out| {
            Table::new(&[("TITLE", Side::Left, 0), ("POINTS", Side::Right, 0)])
                .print(out, &[row(&["充值", "7"]), row(&["recharge", "1200"])])
        });
        assert_eq!(table, "TITLE     POINTS\n充值           7\nrecharge    1200\n");
        let widths: Vec<usize> = table.lines().map(UnicodeWidthStr::width).collect();
        assert_eq!(widths, [16, 16, 16]);
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
    fn a_cell_cannot_move_the_cursor() {
        let table =
            printed(|out| Table::new(&[("T", Side::Left, 0)]).print(out, &[row(&["a\x1b[2Jb\nc\u{9b}"])]));
        assert_eq!(table, "T\na\\u{1b}[2Jb\\nc\\u{9b}\n");
    }

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(Micros(0)), "1970-01-01T00:00:00Z");
        assert_eq!(moment(Micros(1_500_000)), "1970-01-01T00:00:01.5Z");
        assert_eq!(moment_short(Micros(1_500_000)), "1970-01-01T00:00:01Z");
    }
}

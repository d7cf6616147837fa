//! Aligned tables for terminals, by display width: what the commands and the audit print alike.

use std::io;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What stands for the part of a text that was cut out. ASCII: an ellipsis is two columns wide on some Chinese
/// terminals.
const CUT: &str = "..";

/// No column is cut to less than this.
const NARROWEST: usize = 8;

/// Colours, or the plain text where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Where lines go.
pub(crate) trait Lines {
    /// The colours of the place.
    fn paint(&self) -> Paint;

    /// Writes one line, and its end.
    fn write_line(&mut self, line: &str) -> io::Result<()>;
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// How a cell is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Strong,
    Good,
    Bad,
}

/// A text in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, tone: Tone::Plain }
    }
}

struct Column {
    title: String,
    side: Side,
    width: usize,
}

/// A table that may be printed row by row: a column keeps the width it has reached, and starts at least as wide as
/// it is told.
pub(crate) struct Table {
    columns: Vec<Column>,
    has_header: bool,
    widest_name: usize,
    widest_line: usize,
}

impl Table {
    /// A table of columns: their titles, sides and least widths.
    pub(crate) fn new(columns: &[(&str, Side, usize)]) -> Self {
        let column = |&(title, side, width): &(&str, Side, usize)| Column {
            title: title.to_owned(),
            side,
            width: width.max(title.width()),
        };
        Self {
            columns: columns.iter().map(column).collect(),
            has_header: false,
            widest_name: usize::MAX,
            widest_line: usize::MAX,
        }
    }

    /// Cuts left-hand cells that are wider than `name`, and more of them where a line would be wider than `line`;
    /// none to less than eight columns. Figures are never cut.
    pub(crate) const fn within(mut self, name: usize, line: usize) -> Self {
        self.widest_name = name;
        self.widest_line = line;
        self
    }

    /// Prints all rows at once: each column is as wide as its widest cell.
    pub(crate) fn print<C: Clone + Into<Cell>>(
        &mut self,
        out: &mut impl Lines,
        rows: &[Vec<C>],
    ) -> io::Result<()> {
        let shown = |cell: &C| {
            let Cell { text, tone } = cell.clone().into();
            Cell { text: plain(&text), tone }
        };
        let mut rows: Vec<Vec<Cell>> = rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        self.fit(&mut rows);
        let paint = out.paint();
        if !self.has_header {
            self.has_header = true;
            let titles = self.columns.iter().map(|column| Cell::from(column.title.clone()));
            let titles: Vec<Cell> = titles.collect();
            out.write_line(&paint.bold(&self.aligned(&titles, Paint(false))))?;
        }
        for row in &rows {
            out.write_line(&self.aligned(row, paint))?;
        }
        Ok(())
    }

    /// Widens the columns to their cells, narrows them to what a line may hold, and cuts the cells to that.
    fn fit(&mut self, rows: &mut [Vec<Cell>]) {
        for row in rows.iter() {
            for (column, cell) in self.columns.iter_mut().zip(row) {
                let most = if column.side == Side::Left { self.widest_name } else { usize::MAX };
                column.width = column.width.max(cell.text.width().min(most));
            }
        }
        let gaps = self.columns.len().saturating_sub(1).saturating_mul(2);
        let sum = self.columns.iter().fold(gaps, |sum, column| sum.saturating_add(column.width));
        for _ in 0..sum.saturating_sub(self.widest_line) {
            let names = self.columns.iter_mut().filter(|column| column.side == Side::Left);
            let widest = names.max_by_key(|column| column.width);
            match widest.filter(|column| column.width > NARROWEST.max(column.title.width())) {
                Some(column) => column.width = column.width.saturating_sub(1),
                None => break,
            }
        }
        for row in rows {
            for (column, cell) in self.columns.iter().zip(row) {
                if cell.text.width() > column.width {
                    cell.text = cut(&cell.text, column.width);
                }
            }
        }
    }

    fn aligned(&self, cells: &[Cell], paint: Paint) -> String {
        let mut line = String::new();
        // Spaces are owed until something follows them: no line ends with any.
        let mut owed = 0_usize;
        for (column, cell) in self.columns.iter().zip(cells) {
            let gap = column.width.saturating_sub(cell.text.width());
            let (before, after) = if column.side == Side::Left { (0, gap) } else { (gap, 0) };
            owed = owed.saturating_add(before);
            if !cell.text.is_empty() {
                line.extend(std::iter::repeat_n(' ', owed));
                line.push_str(&cell.painted(paint));
                owed = 0;
            }
            owed = owed.saturating_add(after).saturating_add(2);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

impl Cell {
    fn painted(&self, paint: Paint) -> String {
        match self.tone {
            Tone::Plain => self.text.clone(),
            Tone::Strong => paint.bold(&self.text),
            Tone::Good => paint.green(&self.text),
            Tone::Bad => paint.red(&self.text),
        }
    }
}

/// A text of at most `width` columns: the middle is cut out of a longer one, since names differ at both ends.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let left = width.saturating_sub(CUT.len());
    let mut head = take(text.chars(), left.div_ceil(2));
    let tail: String = take(text.chars().rev(), left.saturating_sub(head.width())).chars().rev().collect();
    head.push_str(CUT);
    head.push_str(&tail);
    // Characters that join with their neighbours may be wider together than apart.
    while head.width() > width && head.pop().is_some() {}
    head
}

/// As many characters as fit into `width` columns.
fn take(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut left = width;
    let mut taken = String::new();
    for c in chars {
        let Some(rest) = left.checked_sub(c.width().unwrap_or_default()) else { break };
        // A character without a width of its own belongs to the one before: where all is used up, so is it.
        if left == 0 {
            break;
        }
        left = rest;
        taken.push(c);
    }
    taken
}

/// Lines of at most `width` columns. Breaks at spaces, and between wide characters, which have none; a closing mark
/// begins no line. A word wider than a line is broken where the line ends.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        if !line.is_empty() && line.width().saturating_add(word.trim_end().width()) > width {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or_default();
            if c != ' ' && !line.is_empty() && line.width().saturating_add(wide) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    let rest = line.trim_end();
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

/// The pieces a line may break between, each with the spaces after it.
fn words(text: &str) -> Vec<&str> {
    let wide = |c: char| c.width().unwrap_or_default() > 1;
    let closes = |c: char| "，。、；：！？）》」』】".contains(c);
    let opens = |c: char| "（《「『【".contains(c);
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut before: Option<char> = None;
    for (at, c) in text.char_indices() {
        let breaks = before.is_some_and(|before| {
            (before == ' ' && c != ' ')
                || ((wide(before) || wide(c)) && !closes(c) && !opens(before) && c != ' ')
        });
        if breaks {
            pieces.push(&text[start..at]);
            start = at;
        }
        before = Some(c);
    }
    pieces.push(&text[start..]);
    pieces
}

/// Text that others wrote, safe to print: a title must not move the cursor, break the line, or turn its direction.
pub(crate) fn plain(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if c.is_control() || turns(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
        shown
    })
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

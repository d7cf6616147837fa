//! Reading a source: comments and strings away, and every path that is left.

/// A path of the source (`tonic::Status`), and where it is written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
    /// Whether a `use` says it: then the first segment is a crate or a room, never a type in scope.
    pub(crate) imported: bool,
}

impl Mention {
    pub(crate) fn names(&self, crates: &[&str]) -> bool {
        self.segments.iter().any(|segment| belongs_to(segment, crates))
    }

    pub(crate) fn begins_with(&self, path: &[&str]) -> bool {
        self.segments.len() >= path.len() && path.iter().zip(&self.segments).all(|(want, have)| want == have)
    }

    /// Reaches into one of these rooms of the crate, whichever way the crate is called.
    pub(crate) fn enters(&self, rooms: &[&str]) -> bool {
        matches!(self.segments[0].as_str(), "crate" | "scrip")
            && self.segments.get(1).is_some_and(|room| rooms.contains(&room.as_str()))
    }

    /// Spells a path that climbs out of its file's room with `crate`. A module inside the file is one step
    /// deeper than the file, so there the climb may end within the room: no room has a child named like a room.
    pub(crate) fn rooted_in_the_crate(mut self, file: &str) -> Mention {
        let steps = self.segments.iter().take_while(|segment| *segment == "super").count();
        if steps > 0 && steps >= depth_of(file) {
            self.segments.splice(..steps, ["crate".to_owned()]);
        }
        self
    }
}

/// A crate's own name or one of its family: `tokio_util` is as little welcome as `tokio`.
fn belongs_to(segment: &str, crates: &[&str]) -> bool {
    crates
        .iter()
        .any(|name| segment == *name || segment.strip_prefix(name).is_some_and(|rest| rest.starts_with('_')))
}

/// How many modules deep a file is: 1 for `store.rs` and `store/mod.rs`, 2 for `store/errors.rs`.
fn depth_of(file: &str) -> usize {
    let module = file.strip_suffix("/mod.rs").unwrap_or(file);
    module.split('/').count()
}

/// The source with comments and the insides of strings and characters turned into blanks, line for line: what
/// a message or a comment says is no import.
pub(crate) fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => end_of_line(&chars, at),
            '/' if chars.get(at + 1) == Some(&'*') => end_of_block(&chars, at),
            '"' => end_of_string(&chars, at),
            '\'' => end_of_char(&chars, at),
            'r' if !at
                .checked_sub(1)
                .is_some_and(|before| is_word(chars[before]) && chars[before] != 'b') =>
            {
                end_of_raw_string(&chars, at)
            }
            _ => at,
        };
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

fn end_of_line(chars: &[char], at: usize) -> usize {
    chars[at..].iter().position(|&c| c == '\n').map_or(chars.len(), |length| at + length)
}

/// Block comments nest.
fn end_of_block(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `'x'` and `'\''` are characters; `'a` without the second quote is a lifetime and stays.
fn end_of_char(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let rest = chars.get(at + 3..).unwrap_or_default();
            rest.iter().position(|&c| c == '\'').map_or(chars.len(), |length| at + 3 + length + 1)
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// `r"…"` and `r#"…"#`; `at` itself where the `r` begins something else, a raw identifier for one.
fn end_of_raw_string(chars: &[char], at: usize) -> usize {
    let hashes = chars[at + 1..].iter().take_while(|&&c| c == '#').count();
    let mut end = at + 1 + hashes;
    if chars.get(end) != Some(&'"') {
        return at;
    }
    end += 1;
    while end < chars.len() {
        let closed = chars[end] == '"'
            && chars[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        end += 1;
        if closed {
            return end + hashes;
        }
    }
    chars.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A word, `::`, or another character, with its line.
type Token = (usize, String);

fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push((index + 1, rest[..length].to_owned()));
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Every path in the code. `use a::{b, c::D};` gives `a::b` and `a::c::D`, each with its own line.
pub(crate) fn mentions(code: &str) -> Vec<Mention> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // `use<'a>` is a bound, not an import.
        if tokens[at].1 == "use" && tokens.get(at + 1).is_some_and(|(_, token)| token != "<") {
            at = use_tree(&tokens, at + 1, &[], &mut found);
        } else if tokens[at].1.starts_with(is_word) {
            let line = tokens[at].0;
            let mut segments = vec![tokens[at].1.clone()];
            at += 1;
            while next_segment(&tokens, at) {
                segments.push(tokens[at + 1].1.clone());
                at += 2;
            }
            found.push(Mention { line, segments, imported: false });
        } else {
            at += 1;
        }
    }
    found
}

fn next_segment(tokens: &[Token], at: usize) -> bool {
    let is = |at: usize, test: fn(&str) -> bool| tokens.get(at).is_some_and(|(_, token)| test(token));
    is(at, |token| token == "::") && is(at + 1, |token| token.starts_with(is_word))
}

/// Reads one branch of a `use` tree and answers where it ended.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], found: &mut Vec<Mention>) -> usize {
    let mut segments = before.to_vec();
    let mut line = tokens.get(at).map_or(0, |(line, _)| *line);
    let mut whole = true;
    while let Some((here, token)) = tokens.get(at) {
        match token.as_str() {
            "{" => {
                whole = false;
                at += 1;
                while tokens.get(at).is_some_and(|(_, token)| token != "}") {
                    at = use_tree(tokens, at, &segments, found);
                    // Past the comma; and past whatever else a source that is no Rust may hold here.
                    if tokens.get(at).is_some_and(|(_, token)| token != "}") {
                        at += 1;
                    }
                }
                at += 1;
            }
            "," | "}" | ";" => break,
            // The name it gets here is no path of its own.
            "as" => at += 2,
            "::" => at += 1,
            _ => {
                line = *here;
                segments.push(token.clone());
                at += 1;
            }
        }
    }
    if whole && segments.len() > before.len() {
        found.push(Mention { line, segments, imported: true });
    }
    at
}

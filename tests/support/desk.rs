//! An operator's desk: the real binary as a command, and what it says.

#![allow(clippy::unwrap_used, reason = "a desk that cannot be set up fails its test")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// A folder for a database of its own, and the binary run in it.
pub struct Desk {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Desk {
    /// Without a database.
    pub fn empty() -> Desk {
        Desk { folder: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    /// A file in its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its SQLite database, from anywhere.
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path("scrip.db").display())
    }

    /// Sets a variable for the commands to come.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a command whose words hold no white space.
    pub fn run(&self, line: &str) -> Said {
        self.feed("", line)
    }

    /// As `run`, with this on its stdin.
    pub fn feed(&self, stdin: &str, line: &str) -> Said {
        self.feed_words(stdin, &line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs a command by its words.
    pub fn run_words(&self, words: &[&str]) -> Said {
        self.feed_words("", words)
    }

    fn feed_words(&self, stdin: &str, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scrip"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("SCRIP_")) {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(words)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read what it is given may be gone by now.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let ended = child.wait_with_output().unwrap();
        Said {
            code: ended.status.code().unwrap(),
            out: String::from_utf8(ended.stdout).unwrap(),
            err: String::from_utf8(ended.stderr).unwrap(),
        }
    }

    /// The JSON lines that a command prints.
    pub fn json(&self, line: &str) -> Vec<Value> {
        let said = self.run(&format!("{line} --format json"));
        said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Said {
    /// Ended so, with one line that says why.
    pub fn refused_with(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        assert_eq!(self.err.trim_end().lines().count(), 1, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} in {self:?}");
        }
    }
}

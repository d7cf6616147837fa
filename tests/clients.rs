//! The clients of docs/clients.md, run as they stand there: each language's own gRPC, against the real server, while
//! the server is replaced as an upgrade would.
//!
//! `scripts/test.sh` installs what they need under `target/tools`; what is missing is said aloud.

mod support;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use support::server::{Launch, ScripProcess};
use support::{peers, say_not_run};
use tokio::process::Command;

/// The first fenced block of a language.
fn block(language: &str) -> String {
    let page = std::fs::read_to_string(root().join("docs/clients.md")).expect("docs/clients.md");
    let start = format!("```{language}\n");
    let from = page.find(&start).unwrap_or_else(|| panic!("no {language} in the page")) + start.len();
    let length = page[from..].find("\n```").expect("the end of the block");
    page[from..from + length].to_owned() + "\n"
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

struct Stage {
    folder: tempfile::TempDir,
    server: ScripProcess,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
        std::fs::write(folder.path().join("service_config.json"), block("json")).expect("a file");
        Self { server: Launch::new(&url).start().await, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// Runs a client to its end; what it printed.
    async fn run(&self, command: &mut Command) -> String {
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(support::STUCK_AFTER * 5, output).await.expect("it ends");
        let output = output.expect("it starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{err}\nthe server's log:\n{}", self.server.logs());
        out.trim().to_owned()
    }
}

#[tokio::test]
async fn the_python_client_of_the_documentation_runs() {
    let Some(python) = peers::python_with_grpc_tools() else { return };
    let stage = Stage::set().await;
    let program = stage.write("client.py", &block("python"));
    let mut command = Command::new(python);
    command.arg(program).arg(stage.server.addr().to_string());
    command.args([root().join("proto"), root().join("third_party"), stage.path("service_config.json")]);
    assert_eq!(stage.run(&mut command).await, "refunded, balance 1000");
}

#[tokio::test]
async fn the_go_client_of_the_documentation_runs() {
    let Some(module) = peers::installed("go-client/go.sum") else {
        say_not_run("no Go client in target/tools/go-client (scripts/test.sh makes it)");
        return;
    };
    let stage = Stage::set().await;
    let module = module.parent().expect("a folder");
    // Its own copy: the folder may serve several runs at once.
    let copy = stage.path("billing");
    let mut copied = Command::new("cp");
    stage.run(copied.arg("-R").arg(module).arg(&copy)).await;
    std::fs::write(copy.join("main.go"), block("go")).expect("a file");
    let mut command = Command::new("go");
    command.current_dir(&copy).env("GOTOOLCHAIN", "local").args(["run", "."]);
    command.arg(stage.server.addr().to_string()).arg(stage.path("service_config.json"));
    assert_eq!(stage.run(&mut command).await, "refunded, balance 1000");
}

#[tokio::test]
async fn the_typescript_client_of_the_documentation_runs() {
    let Some(tsx) = peers::installed("node-client/node_modules/.bin/tsx") else {
        say_not_run("no TypeScript client in target/tools/node-client (scripts/test.sh makes it)");
        return;
    };
    let stage = Stage::set().await;
    let modules = tsx.ancestors().nth(2).expect("node_modules");
    link(modules, &stage.path("node_modules"));
    let program = stage.write("client.mts", &block("typescript"));
    let mut command = Command::new(&tsx);
    command.arg(program).arg(stage.server.addr().to_string());
    command.args([root().join("proto"), root().join("third_party"), stage.path("service_config.json")]);
    assert_eq!(stage.run(&mut command).await, "refunded, balance 1000");
}

fn link(original: &Path, link: &Path) {
    std::os::unix::fs::symlink(original, link).expect("a link");
}

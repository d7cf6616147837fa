//! That nothing is left behind, however the harness ends: a process of its own waits for the end of ours, lets go
//! whatever was stopped, ends what runs in our folder's name, and takes the mount and the folder away.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `$1` is the run's folder, `$2` the mount or nothing. Its stdin ends when the harness does. libfaketime leaves shared
/// memory behind for each process that was killed. PostgreSQL has a watchdog of its own, which empties the mount; then
/// that can be taken away.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
root=$1 mount=$2
while read -r _; do :; done
while read -r pid; do kill -CONT "$pid" 2>/dev/null; done <"$root/stopped" 2>/dev/null
while read -r pid; do
    rm -f "/dev/shm/faketime_shm_$pid" "/dev/shm/sem.faketime_sem_$pid"
done <"$root/started" 2>/dev/null
if [ -n "$mount" ]; then
    mount -o remount,size=1g "$mount" 2>/dev/null
    tries=0
    while [ $tries -lt 300 ] && [ -n "$(ls -A "$mount" 2>/dev/null | grep -v '^sqlite$')" ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null
fi
umount "$root" 2>/dev/null || umount -l "$root" 2>/dev/null
rm -rf -- "$root"
"#;

/// Mounts a file system of so many bytes in memory; or says why that is not possible.
fn mount(at: &Path, bytes: u64) -> Option<String> {
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=1777"), "scrip-torture"])
        .arg(at)
        .stdin(Stdio::null())
        .output();
    match mounted {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(why) => Some(format!("mount: {why}")),
    }
}

/// The folder of a run, and who takes it away. Dropping it waits for that.
pub(crate) struct Guard {
    root: PathBuf,
    mount: Option<PathBuf>,
    watchdog: Child,
}

impl Guard {
    /// Makes the folder under the system's one for temporary files: in memory if that is permitted, so that a busy disk
    /// does not hold up whoever writes a log or the history; and in it a file system for the database, likewise. Else
    /// the reason why not.
    pub(crate) fn start(bytes: u64) -> io::Result<(Self, Option<String>)> {
        let root = tempfile::Builder::new().prefix("scrip-torture-").tempdir_in(std::env::temp_dir())?.keep();
        let mut refusal = mount(&root, bytes);
        // The database runs as another user and must get there.
        std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let disk = root.join("disk");
        std::fs::create_dir(&disk)?;
        if refusal.is_none() {
            refusal = mount(&disk, bytes);
        }
        let mount = refusal.is_none().then_some(disk);
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "scrip-torture-watchdog"])
            .arg(&root)
            .arg(mount.as_deref().unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for the harness.
            .process_group(0)
            .spawn()?;
        Ok((Self { root, mount, watchdog }, refusal))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file system of its own, if there is one.
    pub(crate) fn mount(&self) -> Option<&Path> {
        self.mount.as_deref()
    }

    /// Where the database's files go.
    pub(crate) fn disk(&self) -> PathBuf {
        self.root.join("disk")
    }

    /// Notes that these are to be let go if the harness dies before it does so itself.
    pub(crate) fn note_stopped(&self, pids: &[u32]) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(self.root.join("stopped"))?;
        for pid in pids {
            writeln!(file, "{pid}")?;
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Closing its stdin is all it waits for; when it has ended, everything is gone.
        drop(self.watchdog.stdin.take());
        self.watchdog.wait().ok();
    }
}

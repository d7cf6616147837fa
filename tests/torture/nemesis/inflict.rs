//! The faults, one by one: how each begins, how long it lasts, how it is healed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Connection;
use tokio::time::{Instant, sleep, timeout};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::chance::Chance;
use crate::client::channel;
use crate::fault::Fault;
use crate::support::cut_proxy::Cut;
use crate::world::World;
use crate::world::database::{self, Database};
use crate::world::process::signal;
use crate::world::replica::Replica;

/// What the callers do while it is set.
#[derive(Debug, Default)]
pub(crate) struct Storms {
    pub(crate) cancel: AtomicBool,
    pub(crate) retry: AtomicBool,
}

/// Breaks it, waits, heals it. Answers a remark for the report, if there is one; an error is a fault that could not be
/// made.
pub(crate) async fn inflict(
    fault: Fault,
    world: &World,
    storms: &Storms,
    hold: Duration,
    chance: &mut Chance,
) -> Result<String, String> {
    let replica = &world.replicas[chance.below(world.replicas.len())];
    match fault {
        Fault::ReplicaKill => {
            replica.kill().await;
            sleep(hold / 2).await;
            replica.want().await;
            Ok(format!("replica {}", replica.number))
        }
        Fault::ReplicaPause => {
            let pids: Vec<u32> = replica.pid().await.into_iter().collect();
            pause(world, &pids, hold).await?;
            Ok(format!("replica {}", replica.number))
        }
        Fault::RollingRestart => {
            for replica in world.replicas.iter() {
                replica.stop().await;
                replica.want().await;
                replica.listens(Duration::from_secs(20)).await;
            }
            Ok(String::new())
        }
        Fault::DatabaseCrash => crash_database(world, hold).await,
        Fault::DatabasePause => {
            let pids = world.database.processes();
            pause(world, &pids, hold).await?;
            Ok(format!("{} processes", pids.len()))
        }
        Fault::LinkReset => reset_links(world, hold, chance).await,
        Fault::CommitCut => cut_commits(world, hold, chance).await,
        Fault::CommitSilence => silence_commit(world, replica, hold, chance).await,
        Fault::SlowLink => slow_links(world, hold, chance).await,
        Fault::DiskFull => fill_disk(world, hold, chance).await,
        Fault::ReadOnly => make_read_only(world, hold).await,
        Fault::LockHeld => hold_lock(world, hold).await,
        Fault::ClockStep => step_clock(world, hold, chance).await,
        Fault::CancelStorm => {
            storms.cancel.store(true, Ordering::Relaxed);
            sleep(hold).await;
            storms.cancel.store(false, Ordering::Relaxed);
            Ok(String::new())
        }
        Fault::RetryStorm => {
            storms.retry.store(true, Ordering::Relaxed);
            sleep(hold).await;
            storms.retry.store(false, Ordering::Relaxed);
            Ok(String::new())
        }
        Fault::Migrate => {
            let migrate = world.command(&["migrate"], "migrate.log");
            let mut runs = 0;
            let until = Instant::now() + hold;
            while Instant::now() < until {
                world.spawner.run(&migrate, Duration::from_secs(20)).await.map_err(|why| why.to_string())?;
                runs += 1;
            }
            Ok(format!("{runs} runs of scrip migrate"))
        }
    }
}

async fn crash_database(world: &World, hold: Duration) -> Result<String, String> {
    let cluster = world.database.cluster().ok_or("no PostgreSQL")?;
    cluster.try_pg_ctl(&["stop", "-m", "immediate"]).await?;
    sleep(hold / 4).await;
    world.database.ensure_running().await.map(|()| String::new())
}

/// As another process on the file does.
async fn hold_lock(world: &World, hold: Duration) -> Result<String, String> {
    let Database::Sqlite(path) = &world.database else { return Err("no SQLite".to_owned()) };
    let failed = |why: sqlx::Error| why.to_string();
    let mut connection = database::sqlite(path, false).await.map_err(failed)?;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
    sleep(hold).await;
    sqlx::query("ROLLBACK").execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(String::new())
}

async fn pause(world: &World, pids: &[u32], hold: Duration) -> Result<(), String> {
    world.guard.note_stopped(pids).map_err(|why| why.to_string())?;
    world.paused.store(true, Ordering::SeqCst);
    signal(pids, "STOP");
    sleep(hold).await;
    signal(pids, "CONT");
    world.paused.store(false, Ordering::SeqCst);
    Ok(())
}

/// The links of the clients, or those of the database.
fn is_inner(world: &World, chance: &mut Chance) -> bool {
    chance.is(50) && world.replicas[0].database.is_some()
}

async fn reset_links(world: &World, hold: Duration, chance: &mut Chance) -> Result<String, String> {
    let inner = is_inner(world, chance);
    let links = || {
        world.replicas.iter().filter_map(move |replica| match &replica.database {
            Some((link, _)) if inner => Some(link),
            None if inner => None,
            _ => Some(&replica.link),
        })
    };
    let before: u64 = links().map(|link| link.resets()).sum();
    links().for_each(|link| link.reset(true));
    sleep(hold).await;
    links().for_each(|link| link.reset(false));
    let resets = links().map(|link| link.resets()).sum::<u64>() - before;
    Ok(format!("{resets} connections to {}", if inner { "the database" } else { "the replicas" }))
}

async fn cut_commits(world: &World, hold: Duration, chance: &mut Chance) -> Result<String, String> {
    let cuts = || world.replicas.iter().filter_map(|replica| Some(replica.database.as_ref()?.1.cuts()));
    let before: u64 = cuts().sum();
    let until = Instant::now() + hold;
    while Instant::now() < until {
        for replica in world.replicas.iter() {
            let cut = chance.of(&[Cut::BeforeCommit, Cut::AfterCommit]);
            if let Some((_, proxy)) = &replica.database {
                proxy.arm(cut, chance.between(1, 3).unsigned_abs());
            }
        }
        sleep(chance.millis(50, 400)).await;
    }
    Ok(format!("{} COMMITs", cuts().sum::<u64>() - before))
}

/// A COMMIT or its answer is lost and nobody is told: the connection stays, silent, until it is reset or the server has
/// waited long enough.
async fn silence_commit(
    world: &World,
    replica: &Replica,
    hold: Duration,
    chance: &mut Chance,
) -> Result<String, String> {
    let Some((link, proxy)) = &replica.database else { return Err("no wire".to_owned()) };
    let cut = chance.of(&[Cut::SilentBefore, Cut::SilentAfter]);
    let before = proxy.cuts();
    proxy.arm(cut, 1);
    let is_silent = timeout(hold, proxy.wait_for_cuts(before + 1)).await.is_ok();
    // Longer than the server's patience, at times.
    sleep(if world.is_short || chance.is(70) { hold } else { Duration::from_secs(14) }).await;
    link.cut();
    Ok(format!("replica {}, {cut:?}{}", replica.number, if is_silent { "" } else { ", no COMMIT came by" }))
}

async fn slow_links(world: &World, hold: Duration, chance: &mut Chance) -> Result<String, String> {
    let inner = is_inner(world, chance);
    let millis = chance.between(5, 150).unsigned_abs();
    let set = |millis: u64| {
        for replica in world.replicas.iter() {
            match &replica.database {
                Some((link, _)) if inner => link.slow(millis),
                _ => replica.link.slow(millis),
            }
        }
    };
    set(millis);
    sleep(hold).await;
    set(0);
    Ok(format!("{millis} ms, to {}", if inner { "the database" } else { "the replicas" }))
}

/// What a checkpoint gives back is taken away again. In PostgreSQL the log of half of them needs another segment.
async fn fill_disk(world: &World, hold: Duration, chance: &mut Chance) -> Result<String, String> {
    let disk = world.disk.as_ref().ok_or("no file system of its own")?;
    let spare = chance.between(0, 4).unsigned_abs() * 4_096;
    let (mut filled, mut times) = (Ok(()), 0);
    let switches_log = chance.is(50);
    let until = Instant::now() + hold;
    while Instant::now() < until {
        filled = disk.fill(spare).await;
        times += u32::from(filled.is_ok());
        if switches_log && times == 2 {
            world.database.switch_log().await;
        }
        sleep(Duration::from_millis(250)).await;
    }
    disk.free().await?;
    world.database.ensure_running().await?;
    if times == 0 {
        filled?;
    }
    Ok(format!("{spare} bytes left"))
}

/// PostgreSQL: by its setting. SQLite: the server is started on a file and folder that may not be written, and refuses,
/// until they may; a file that is open stays writable, whatever its permissions say by now.
async fn make_read_only(world: &World, hold: Duration) -> Result<String, String> {
    let Database::Sqlite(path) = &world.database else {
        world.database.read_only(true).await.map_err(|why| why.to_string())?;
        sleep(hold).await;
        world.database.read_only(false).await.map_err(|why| why.to_string())?;
        return Ok("default_transaction_read_only".to_owned());
    };
    let replica = &world.replicas[0];
    replica.kill().await;
    set_mode(path, 0o444)?;
    replica.want().await;
    sleep(hold).await;
    set_mode(path, 0o600)?;
    Ok("the file, at a start".to_owned())
}

fn set_mode(path: &std::path::Path, mode: u32) -> Result<(), String> {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    std::fs::set_permissions(path, permissions).map_err(|why| why.to_string())
}

async fn step_clock(world: &World, hold: Duration, chance: &mut Chance) -> Result<String, String> {
    let found = world.replicas.iter().find_map(|replica| Some((replica.number, replica.clock.clone()?)));
    let (number, file) = found.ok_or("no clock that can be stepped")?;
    let step = chance.of(&["+3600", "-3600"]);
    let set = |text: &str| std::fs::write(&file, format!("{text}\n")).map_err(|why| why.to_string());
    set(step)?;
    // The file is looked at once a second.
    sleep(hold.max(Duration::from_secs(2))).await;
    set("+0")?;
    Ok(format!("replica {number}, {step} s and back"))
}

/// Whether it says within that time that it serves.
pub(crate) async fn comes_to_serve(replica: &Replica, within: Duration) -> bool {
    let until = Instant::now() + within;
    let mut health = HealthClient::new(channel(replica.address));
    while Instant::now() < until {
        let asked = health.check(HealthCheckRequest { service: String::new() });
        if let Ok(Ok(answer)) = timeout(Duration::from_secs(1), asked).await
            && answer.get_ref().status() == ServingStatus::Serving
        {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Everything is put right, whatever was left half done.
pub(crate) async fn heal_all(world: &World, storms: &Storms) -> Result<(), String> {
    storms.cancel.store(false, Ordering::Relaxed);
    storms.retry.store(false, Ordering::Relaxed);
    signal(&world.database.processes(), "CONT");
    if let Some(disk) = &world.disk {
        disk.free().await?;
    }
    for replica in Arc::clone(&world.replicas).iter() {
        replica.link.slow(0);
        replica.link.reset(false);
        if let Some((link, _)) = &replica.database {
            link.slow(0);
            link.reset(false);
        }
        if let Some(file) = &replica.clock {
            std::fs::write(file, "+0\n").map_err(|why| why.to_string())?;
        }
        if let Some(pid) = replica.pid().await {
            signal(&[pid], "CONT");
        }
    }
    match &world.database {
        Database::Sqlite(path) => set_mode(path, 0o600)?,
        Database::Postgres(..) => {
            world.database.ensure_running().await?;
            world.database.read_only(false).await.map_err(|why| why.to_string())?;
        }
    }
    for replica in world.replicas.iter() {
        replica.want().await;
    }
    for replica in world.replicas.iter() {
        if !comes_to_serve(replica, Duration::from_secs(30)).await {
            return Err(format!("replica {} does not serve again, with everything healed", replica.number));
        }
    }
    Ok(())
}

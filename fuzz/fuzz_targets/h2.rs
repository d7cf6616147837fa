//! Raw bytes on a connection: TLS aside, all of the listening side and the services, on the in-memory store of the tests.
//! Nothing panics, and the connection is over once its client is gone.
//!
//! Input: a byte that says how many are sent at once, and the bytes.

#![no_main]
#![allow(dead_code, unreachable_pub, reason = "shared with the tests")]

#[path = "../../tests/support"]
mod support {
    pub mod model;
}

use std::cell::OnceCell;

use libfuzzer_sys::fuzz_target;
use scrip::api;
use scrip::clock::System;
use scrip::engine::{Engine, Options};
use scrip::ledger::Micros;
use scrip::server::{Health, add_reflection, fuzzing::Door};
use support::model::{Model, TestClock};
use tokio::runtime::{Builder, Runtime};

struct World {
    runtime: Runtime,
    door: Door,
    _engine: Engine,
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

impl World {
    fn new() -> Self {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let (door, engine) = runtime.block_on(async {
            let store = Model::new(TestClock::at(Micros(1_700_000_000_000_000)));
            let engine = Engine::start(&store, System::ids(), Options::default());
            let (_, health) = Health::new(&api::SERVICES).await;
            let routes = api::routes(engine.handle(), None, api::Options::default()).add_service(health);
            let routes = add_reflection(routes, &[scrip::pb::DESCRIPTOR_SET]).expect("descriptors");
            (Door::new(routes), engine)
        });
        Self { runtime, door, _engine: engine }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let [at_once, bytes @ ..] = bytes else { return };
    WORLD.with(|world| {
        let world = world.get_or_init(World::new);
        world.runtime.block_on(world.door.hear(bytes, 1 + 16 * usize::from(*at_once)));
    });
});

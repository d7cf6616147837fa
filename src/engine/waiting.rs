//! The waiting room: callers who would rather wait for a key than be refused, parked outside the batches.
//!
//! | phase | what |
//! |---|---|
//! | try | a command that finds others waiting for its model gets no slot that they wait for |
//! | park | behind the others of that model; only the head tries again |
//! | wake | the head: by a slot that this process frees, by the time the refusal named, or by a slow jittered poll |
//! | leave | with a key, at the end of its time, or because its caller went away: the next is the head, and tries |
//!
//! A parked caller holds no connection and no place in a batch. First come, first served, per model and process;
//! a task that can only run where it runs waits in a queue of its own.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ledger::Text;

/// How many may wait in all, and how many bytes their commands may keep.
const SEATS: usize = 10_000;
const BYTES: usize = 64 << 20;
/// The head tries again after this long at the latest, less a jitter: another process may have freed a slot.
const POLL: Duration = Duration::from_secs(2);

/// The room.
#[derive(Clone)]
pub(super) struct WaitingRoom(Arc<Room>);

struct Room {
    seats: Mutex<Seats>,
    closing: CancellationToken,
}

/// What somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Queue {
    /// Any account that may run this model.
    Model(Text),
    /// The account that this task runs on: nobody else waits for its sake.
    Task(Text),
}

#[derive(Default)]
struct Seats {
    queues: BTreeMap<Queue, VecDeque<Seat>>,
    taken: usize,
    bytes: usize,
    next: u64,
}

struct Seat {
    number: u64,
    wake: Arc<Notify>,
}

/// A caller's place: left when dropped.
pub(super) struct Place {
    room: WaitingRoom,
    queue: Queue,
    bytes: usize,
    number: u64,
    wake: Arc<Notify>,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// It is worth another try.
    Try,
    /// The caller's time is over.
    TimeOver,
    /// The service is stopping.
    Closing,
}

impl WaitingRoom {
    pub(super) fn new(closing: CancellationToken) -> Self {
        Self(Arc::new(Room { seats: Mutex::default(), closing }))
    }

    /// Whether somebody waits for this.
    pub(super) fn is_queued(&self, queue: &Queue) -> bool {
        self.seats().queues.contains_key(queue)
    }

    /// How many wait.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.seats().taken).unwrap_or(u64::MAX)
    }

    /// Takes the last place of a queue, for a command of so many bytes; `None` where the room is full.
    pub(super) fn enter(&self, queue: Queue, bytes: usize) -> Option<Place> {
        let mut seats = self.seats();
        if seats.taken >= SEATS || seats.bytes.saturating_add(bytes) > BYTES {
            return None;
        }
        let (number, wake) = (seats.next, Arc::new(Notify::new()));
        seats.next += 1;
        seats.taken += 1;
        seats.bytes += bytes;
        seats.queues.entry(queue.clone()).or_default().push_back(Seat { number, wake: Arc::clone(&wake) });
        Some(Place { room: self.clone(), queue, bytes, number, wake })
    }

    /// A slot may be free: every head tries.
    pub(super) fn wake(&self) {
        for queue in self.seats().queues.values() {
            if let Some(head) = queue.front() {
                head.wake.notify_one();
            }
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // A queue is changed in one step or not at all.
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_head(&self, place: &Place) -> bool {
        let seats = self.seats();
        let head = seats.queues.get(&place.queue).and_then(VecDeque::front);
        head.is_some_and(|seat| seat.number == place.number)
    }
}

impl Place {
    /// Waits until there is reason to try again, `retry_after` having been named by the last refusal; `random` is for
    /// the jitter. Only the head of a queue tries.
    pub(super) async fn turn(&self, until: Instant, retry_after: Duration, random: u64) -> Woken {
        let poll = POLL.mul_f64(0.5 + (random % 1_024) as f64 / 2_048.0);
        let again = Instant::now() + retry_after.min(poll);
        // One that becomes the head while it waits is woken for it.
        let at = if self.room.is_head(self) { again.min(until) } else { until };
        tokio::select! {
            biased;
            () = self.room.0.closing.cancelled() => Woken::Closing,
            () = self.wake.notified() => Woken::Try,
            () = tokio::time::sleep_until(at) => if at == until { Woken::TimeOver } else { Woken::Try },
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.room.seats();
        let Some(queue) = seats.queues.get_mut(&self.queue) else { return };
        let was_head = queue.front().is_some_and(|seat| seat.number == self.number);
        queue.retain(|seat| seat.number != self.number);
        match queue.front() {
            Some(head) if was_head => head.wake.notify_one(),
            Some(_) => {}
            None => {
                seats.queues.remove(&self.queue);
            }
        }
        seats.taken -= 1;
        seats.bytes -= self.bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn room() -> WaitingRoom {
        WaitingRoom::new(CancellationToken::new())
    }

    fn app(name: &str) -> Queue {
        Queue::Model(name.into())
    }

    async fn turn(place: &Place, seconds: u64) -> Woken {
        place.turn(Instant::now() + Duration::from_secs(seconds), LONG, 0).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_freed_slot_wakes_the_head_and_nobody_behind_it() {
        let room = room();
        let first = room.enter(app("a"), 1).unwrap();
        let second = room.enter(app("a"), 1).unwrap();
        let other = room.enter(app("b"), 1).unwrap();
        room.wake();
        assert_eq!(turn(&first, 0).await, Woken::Try);
        assert_eq!(turn(&other, 0).await, Woken::Try);
        assert_eq!(turn(&second, 5).await, Woken::TimeOver);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_leaves_first_makes_the_next_one_try() {
        let room = room();
        let first = room.enter(app("a"), 1).unwrap();
        let second = room.enter(app("a"), 1).unwrap();
        drop(first);
        let begun = Instant::now();
        assert_eq!(turn(&second, 60).await, Woken::Try);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(second);
        assert!(!room.is_queued(&app("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_polls_slowly_and_comes_back_sooner_where_the_refusal_says_so() {
        let room = room();
        let place = room.enter(app("a"), 1).unwrap();
        let until = Instant::now() + LONG;
        for (retry_after, random, waited) in
            [(LONG, 0, 1_000..=1_001), (LONG, 1_023, 1_999..=2_000), (LONG / 200, 0, 300..=301)]
        {
            let begun = Instant::now();
            assert_eq!(place.turn(until, retry_after, random).await, Woken::Try);
            assert!(waited.contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_room_is_bounded_and_a_seat_that_is_left_is_free_again() {
        let room = room();
        let mut places: Vec<Place> = (0..SEATS).map_while(|_| room.enter(app("a"), 1)).collect();
        assert_eq!(places.len(), SEATS);
        assert!(room.enter(app("b"), 1).is_none());
        places.pop();
        assert!(room.enter(app("b"), 1).is_some());
        assert!(room.enter(app("b"), BYTES).is_none(), "in bytes as well");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_every_wait() {
        let closing = CancellationToken::new();
        let room = WaitingRoom::new(closing.clone());
        let place = room.enter(app("a"), 1).unwrap();
        closing.cancel();
        assert_eq!(turn(&place, 60).await, Woken::Closing);
    }
}

//! Randomness that is a function of its seed: the same cell gives every policy the same jobs, and every run the same
//! table.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each combination of these.
    pub fn of(seed: u64, stream: u64, index: u64) -> Self {
        let mut random = Self(seed);
        for part in [stream, index] {
            random.0 = random.number() ^ part.wrapping_mul(0xd134_2543_de82_ef95);
        }
        random
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Evenly in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.number() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() <= probability
    }

    /// Evenly between two times, in microseconds.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.unit() * (high - low) as f64) as i64
    }

    /// The time to the next of events that come at `rate` a second, in microseconds.
    pub fn gap(&mut self, rate: f64) -> i64 {
        (-self.unit().ln() / rate * 1e6) as i64 + 1
    }

    /// Lognormally, by Box and Muller.
    pub fn lognormal(&mut self, mu: f64, sigma: f64) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.unit()).cos();
        (mu + sigma * normal).exp()
    }
}

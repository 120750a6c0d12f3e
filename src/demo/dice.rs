//! Chance that is the same every time: a generator whose algorithm is fixed, seeded by a text.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use uuid::Uuid;

/// Under it lie the seeds.
const SEEDS: Uuid = Uuid::from_u128(0x7d1c_33f0_5a0e_4b0f_8a55_0de0_d1ce_0001);

pub(super) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(super) fn of(text: &str) -> Self {
        let halves =
            ["a", "b"].map(|half| Uuid::new_v5(&SEEDS, format!("{half}/{text}").as_bytes()));
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(halves[0].as_bytes());
        seed[16..].copy_from_slice(halves[1].as_bytes());
        Self(Xoshiro256PlusPlus::from_seed(seed))
    }

    /// From `least` to `most`.
    pub(super) fn between(&mut self, least: u32, most: u32) -> u32 {
        self.0.random_range(least..=most)
    }

    /// So many times in a hundred.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.between(1, 100) <= percent
    }

    pub(super) fn index(&mut self, below: usize) -> usize {
        self.0.random_range(0..below)
    }

    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.index(of.len())]
    }

    /// The first of them whose share of a hundred it hits; the last gets what is left.
    pub(super) fn weighed<T: Copy>(&mut self, of: &[(u32, T)]) -> T {
        let mut hit = self.between(1, 100);
        let mut chosen = of[0].1;
        for (share, it) in of {
            chosen = *it;
            if hit <= *share {
                break;
            }
            hit -= share;
        }
        chosen
    }

    pub(super) fn id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.0.random()).into_uuid()
    }
}

//! Which partition a stream belongs to: the unit of parallel work in every feed, with or without Kafka.
//!
//! The rule is that of Kafka's default partitioner, `toPositive(murmur2(key)) % partitions`, over the key
//! `tenant/stream`, so that producers and consumers in any language agree with us without asking. Source of the
//! algorithm: `org.apache.kafka.common.utils.Utils.murmur2`; the vectors in the test below are its own.

use crate::Tenant;

/// From 0 to [`PARTITIONS`] - 1.
pub type Partition = i16;

/// How many partitions there are, for ever: changing it would move streams between partitions and break their order.
pub const PARTITIONS: Partition = 32;

/// The partition of a stream.
pub fn partition_of(tenant: &Tenant, stream: &str) -> Partition {
    let key = format!("{tenant}/{stream}");
    let positive = murmur2(key.as_bytes()) & 0x7fff_ffff;
    Partition::try_from(positive % PARTITIONS.unsigned_abs() as u32)
        .expect("a remainder of 32 fits in 16 bits")
}

fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MIX: u32 = 0x5bd1_e995;
    let length = u32::try_from(data.len()).expect("keys are far shorter than 4 GiB");

    let mut hash = SEED ^ length;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MIX);
        k = (k ^ (k >> 24)).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ k;
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_agrees_with_kafkas_own_vectors() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_partition_is_in_range_and_used() {
        let tenant = Tenant::parse("acme").unwrap();
        let mut used = [false; PARTITIONS as usize];
        for n in 0..1_000 {
            used[usize::try_from(partition_of(&tenant, &format!("task-{n}"))).unwrap()] = true;
        }
        assert_eq!(used, [true; PARTITIONS as usize]);
    }
}

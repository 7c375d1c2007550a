//! Which partition a key belongs to: as the Java client of Kafka decides, so that a record which another
//! producer writes with the same key lands in the same partition.

use schemas::{ConversationId, Partition};

/// The partition of a conversation in a log of so many partitions (at least 1).
pub fn partition_of(conversation: &ConversationId, partitions: u32) -> Partition {
    let hash = murmur2(conversation.as_str().as_bytes()) & 0x7fff_ffff;
    Partition(hash % partitions.max(1))
}

/// Murmur2, 32 bits, with the seed of Kafka's `org.apache.kafka.common.utils.Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, rest) = data.as_chunks::<4>();
    let mut hash = words.iter().fold(SEED ^ len, |hash, word| {
        let k = u32::from_le_bytes(*word).wrapping_mul(M);
        let k = (k ^ (k >> 24)).wrapping_mul(M);
        hash.wrapping_mul(M) ^ k
    });
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| (tail << 8) | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own test `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_kafka_does() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_partition_is_used() {
        let mut used = [false; 8];
        for n in 0..200 {
            let Partition(p) = partition_of(&format!("c{n}").parse().unwrap(), 8);
            used[p as usize] = true;
        }
        assert_eq!(used, [true; 8]);
    }
}

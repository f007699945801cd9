//! What a seed draws before anything happens: how large a world is, and which
//! faults it has. Most worlds have some kinds of faults and not others, so that
//! one kind does not hide another.

use crate::random::Random;
use highwater_core::replica::ReplicaConfig;
use highwater_protocol::codec::Format;

/// What is drawn for a whole world.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The elements that each list begins with.
    pub(crate) lists: Vec<u64>,
    pub(crate) devices: usize,
    pub(crate) steps: u32,
    /// Lists of so many elements have sketches.
    pub(crate) sketched_from: u64,
    /// Elements in all sketches together.
    pub(crate) sketch_elements_max: u64,
    /// Bytes in an answer; some worlds have small ones.
    pub(crate) response_bytes: usize,
    pub(crate) page_bytes: usize,
    pub(crate) cached_heads: usize,
    pub(crate) network: Network,
    pub(crate) weights: Weights,
}

/// How messages fare: chances in 1,000.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) cut: u64,
    pub(crate) late: u64,
    pub(crate) refused: u64,
    pub(crate) delay_ms_max: i64,
}

impl Network {
    pub(crate) const CALM: Self = Self {
        lost: 0,
        doubled: 0,
        cut: 0,
        late: 0,
        refused: 0,
        delay_ms_max: 20,
    };
}

/// How likely each kind of step is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weights {
    pub(crate) write: u64,
    pub(crate) burst: u64,
    pub(crate) sync: u64,
    pub(crate) app: u64,
    pub(crate) wait: u64,
    pub(crate) long_wait: u64,
    pub(crate) device_death: u64,
    pub(crate) device_disk: u64,
    pub(crate) device_file: u64,
    pub(crate) damage: u64,
    pub(crate) clock: u64,
    pub(crate) server_death: u64,
    pub(crate) server_disk: u64,
    pub(crate) purge: u64,
    pub(crate) backup: u64,
    pub(crate) restore: u64,
    pub(crate) end_list: u64,
    pub(crate) rights: u64,
    pub(crate) lie: u64,
}

impl Plan {
    pub(crate) fn draw(random: &mut Random) -> Self {
        // Large worlds cost most of the time, and find least of it.
        let size = random.below(100);
        let (elements, most_lists) = match size {
            0..55 => ((0, 12), 3),
            55..85 => ((5, 40), 4),
            85..96 => ((64, 160), 2),
            _ => ((300, 1_000), 1),
        };
        let lists = (0..random.between(1, most_lists))
            .map(|_| random.between(elements.0, elements.1))
            .collect();
        let devices = match random.below(100) {
            0..45 => 1,
            45..75 => 2,
            75..90 => random.between(3, 4),
            90..98 => random.between(5, 9),
            _ => random.between(10, 20),
        };
        let tight = random.one_in(6);
        Self {
            lists,
            devices: usize::try_from(devices).unwrap_or(1),
            steps: u32::try_from(random.between(40, 140)).unwrap_or(100),
            sketched_from: match random.below(3) {
                0 => highwater_core::answer::SKETCHED_FROM,
                1 => 8,
                _ => 1,
            },
            sketch_elements_max: match random.below(5) {
                0 => 20,
                _ => 100_000,
            },
            response_bytes: match tight {
                true => usize::try_from(random.between(50, 600)).unwrap_or(100),
                false => highwater_protocol::limits::RESPONSE_BYTES,
            },
            page_bytes: match tight {
                true => usize::try_from(random.between(30, 400)).unwrap_or(100),
                false => highwater_protocol::limits::PAGE_BYTES,
            },
            cached_heads: usize::try_from(*random.pick(&[0u64, 1, 1_000]).unwrap_or(&0))
                .unwrap_or(0),
            network: network(random),
            weights: weights(random),
        }
    }
}

fn network(random: &mut Random) -> Network {
    if random.one_in(4) {
        return Network::CALM;
    }
    let mut chance = |most: u64| match random.one_in(2) {
        true => random.below(most),
        false => 0,
    };
    Network {
        lost: chance(200),
        doubled: chance(200),
        cut: chance(150),
        late: chance(150),
        refused: chance(100),
        delay_ms_max: 20 + i64::try_from(chance(3_000)).unwrap_or(0),
    }
}

fn weights(random: &mut Random) -> Weights {
    let mut sometimes = |weight: u64| match random.below(5) {
        0 | 1 => weight,
        2 => 1,
        _ => 0,
    };
    Weights {
        write: 40,
        burst: sometimes(4),
        sync: 25,
        app: 6,
        wait: 8,
        long_wait: sometimes(3),
        device_death: sometimes(6),
        device_disk: sometimes(6),
        device_file: sometimes(2),
        damage: sometimes(8),
        clock: sometimes(3),
        server_death: sometimes(4),
        server_disk: sometimes(5),
        purge: sometimes(4),
        backup: sometimes(4),
        restore: sometimes(3),
        end_list: sometimes(3),
        rights: sometimes(4),
        lie: sometimes(3),
    }
}

/// How a device is set.
pub(crate) fn device(random: &mut Random) -> (ReplicaConfig, Format) {
    let page_rows = match random.below(3) {
        0 => random.between(1, 5),
        1 => random.between(5, 60),
        _ => 1_000,
    };
    let config = ReplicaConfig {
        whole_up_to: *random.pick(&[0, 10, 2_000]).unwrap_or(&0),
        first_details: *random.pick(&[0, 3, 100]).unwrap_or(&0),
        delta_details: *random.pick(&[0, 2, 200]).unwrap_or(&0),
        page_rows: usize::try_from(page_rows).unwrap_or(1),
        ..ReplicaConfig::default()
    };
    let format = match random.one_in(4) {
        true => Format::Json,
        false => Format::Protobuf,
    };
    (config, format)
}

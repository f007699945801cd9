//! A bounded memory: two generations of entries, of which the older one is
//! forgotten when the younger one is full.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;

/// Holds at most twice `capacity` in weight. What was used since the last
/// change of generations survives the next one.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Of the young generation.
    weight: usize,
    capacity: usize,
}

/// How much of the capacity an entry takes.
pub(crate) trait Weight {
    fn weight(&self) -> usize;
}

impl<K: Eq + Hash, V: Weight> Generations<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            weight: 0,
            capacity,
        }
    }

    /// What is held under `key`.
    pub(crate) fn recall<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.keep(key, value);
        }
        self.young.get(key)
    }

    /// Takes what is held under `key` out.
    pub(crate) fn take<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let value = match self.young.remove(key) {
            Some(value) => {
                self.weight -= value.weight();
                value
            }
            None => self.old.remove(key)?,
        };
        Some(value)
    }

    /// Holds `value` under `key`.
    pub(crate) fn keep(&mut self, key: K, value: V) {
        if self.weight >= self.capacity {
            self.old = mem::take(&mut self.young);
            self.weight = 0;
        }
        self.old.remove(&key);
        self.weight += value.weight();
        if let Some(replaced) = self.young.insert(key, value) {
            self.weight -= replaced.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weight for u32 {
        fn weight(&self) -> usize {
            1
        }
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut memory = Generations::<u32, u32>::new(10);
        memory.keep(0, 0);
        for key in 1..1_000 {
            memory.keep(key, key);
            assert_eq!(memory.recall(&0), Some(&0), "after {key}");
            assert!(memory.young.len() + memory.old.len() <= 21);
        }
        assert_eq!(memory.recall(&1), None);
        assert_eq!(memory.take(&999), Some(999));
        assert_eq!(memory.take(&999), None);
    }

    #[test]
    fn replacing_and_taking_keep_the_weight_right() {
        let mut memory = Generations::<u32, u32>::new(3);
        for _ in 0..100 {
            memory.keep(1, 1);
            memory.keep(2, 2);
            memory.take(&2);
        }
        assert_eq!(memory.weight, memory.young.len());
        assert_eq!(memory.recall(&1), Some(&1));
    }
}

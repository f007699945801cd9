//! Simulated worlds.
#![warn(clippy::iter_over_hash_type)]
mod disk;
mod random;

#[cfg(test)]
mod tests {
    use super::disk::*;
    use super::random::Random;
    use highwater_store_sqlite::{Options, SqliteStore};
    use highwater_sdk::local::{Found, Binding};
    use highwater_sdk::driver::Claim;

    #[test]
    fn opens() {
        for _ in 0..2 {
        let machines = Machines::new();
        let disk = machines.add("server");
        let mut o = Options::default();
        o.file_system = Some(machines.name().to_owned());
        o.incarnation = Some([7; 16]);
        let t = std::time::Instant::now();
        let store = SqliteStore::open(std::path::Path::new("server"), o.clone()).unwrap();
        println!("opened {:?} {} steps", t.elapsed(), disk.steps());
        let r = store.check(|_| {}).unwrap();
        println!("{r:?} {:?}", t.elapsed());
        drop(store);
        println!("{:?}", disk.copy("").iter().map(|(n, b)| (n.clone(), b.len())).collect::<Vec<_>>());
        let disk = machines.add("d1");
        let t = std::time::Instant::now();
        let claim = || Claim { path: "d1/x.db".into(), vfs: Some(machines.name().to_owned()), guard: Box::new(()) };
        let b = Binding { user: "u".into(), server: "s".into() };
        let db = Found::look(claim()).unwrap().open(b.clone()).unwrap();
        println!("opened {:?} {} steps", t.elapsed(), disk.steps());
        drop(db);
        disk.power_cycle(Kept::Any, &mut Random::new(1));
        let t = std::time::Instant::now();
        let db = Found::look(claim()).unwrap().open(b).unwrap();
        println!("opened {:?} {} steps", t.elapsed(), disk.steps());
        drop(db);
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let start: u64 = args.next().map_or(0, |a| a.parse().unwrap());
    let n: u64 = args.next().map_or(1, |a| a.parse().unwrap());
    let trace = args.next().is_some();
    let mut cov = highwater_sim::Coverage::default();
    let t = std::time::Instant::now();
    let mut bad = 0;
    let mut req = 0;
    for seed in start..start + n {
        let t = std::time::Instant::now();
        let out = highwater_sim::run(seed, trace);
        if t.elapsed().as_millis() > 400 {
            println!("seed {seed} took {:?}", t.elapsed());
        }
        for line in &out.trace {
            println!("{line}");
        }
        cov.absorb(&out.coverage);
        req += out.requests;
        if let Some(v) = &out.violation {
            let mut w = v.what.clone();
            w.truncate(400);
            println!("seed {seed} {}: {}", v.invariant, w);
            bad += 1;
            if bad > 15 {
                break;
            }
        }
    }
    println!("{bad} bad, {req} requests, {:?}", t.elapsed());
    if !trace {
        for (k, v) in &cov.0 {
            println!("{v:>8} {k}");
        }
        println!("missing {:?}", cov.missing());
    }
}

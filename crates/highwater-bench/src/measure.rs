//! Taking numbers: in turns with the limit that they are held against, so that
//! a machine that becomes slower in between slows both; medians, because the
//! slow outliers of a shared machine say nothing about the code.

use anyhow::{Result, ensure};
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

/// Values of one measurement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds a value.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many there are.
    #[must_use]
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that half of them are below; 0 if there is none.
    #[must_use]
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value that `part` (0 to 1) of them are below; 0 if there is none.
    #[must_use]
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return 0.0;
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a short list"
        )]
        let at = (part.clamp(0.0, 1.0) * last as f64).round() as usize;
        sorted[at]
    }
}

/// What two or more measurements in turns came to, in their order.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    series: Vec<Samples>,
}

impl Turns {
    /// Median of the measurement at this place.
    #[must_use]
    pub(crate) fn median(&self, place: usize) -> f64 {
        self.series[place].median()
    }

    /// Lowest and highest ratio of the first two, round by round: how far the
    /// machine lets the result be trusted.
    #[must_use]
    pub(crate) fn ratios(&self) -> (f64, f64) {
        let pairs = self.series[0].0.iter().zip(&self.series[1].0);
        pairs
            .map(|(value, limit)| value / limit)
            .fold((f64::INFINITY, 0.0), |(low, high), ratio| {
                (ratio.min(low), ratio.max(high))
            })
    }

    /// `ratio 0.71 to 0.78 by round`, for a note.
    #[must_use]
    pub(crate) fn spread(&self) -> String {
        let (low, high) = self.ratios();
        format!("ratio {low:.2} to {high:.2} by round")
    }
}

/// One thing to measure: each call is one sample.
pub(crate) type Measured<'a> = &'a mut dyn FnMut() -> Result<f64>;

/// Takes `rounds` samples of each measurement in turns (A B A B …), after one
/// round that does not count.
///
/// # Errors
/// Whatever a measurement fails with.
pub(crate) fn in_turns(rounds: usize, measured: &mut [Measured<'_>]) -> Result<Turns> {
    ensure!(
        rounds > 0,
        "nothing was measured: a bench asks for 0 rounds"
    );
    for measure in measured.iter_mut() {
        measure()?;
    }
    in_turns_from_cold(rounds, measured)
}

/// The same, without a round that does not count: for things that happen once.
///
/// # Errors
/// Whatever a measurement fails with.
pub(crate) fn in_turns_from_cold(rounds: usize, measured: &mut [Measured<'_>]) -> Result<Turns> {
    let mut series = vec![Samples::default(); measured.len()];
    for _ in 0..rounds {
        for (measure, samples) in measured.iter_mut().zip(&mut series) {
            samples.push(measure()?);
        }
    }
    Ok(Turns { series })
}

/// How long `work` takes, in microseconds.
///
/// # Errors
/// What `work` fails with.
pub(crate) fn micros<T>(work: impl FnOnce() -> Result<T>) -> Result<f64> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

/// CPU time of this process so far, all its threads.
#[must_use]
pub(crate) fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

/// CPU time of the calling thread so far.
#[must_use]
pub(crate) fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Runs `work`, which speaks to a server in this process from the calling
/// thread, and returns what it did with the CPU time of all other threads.
///
/// # Errors
/// What `work` fails with.
pub(crate) fn others_cpu<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let (all, own) = (process_cpu(), thread_cpu());
    let done = work()?;
    let (all, own) = (process_cpu() - all, thread_cpu() - own);
    Ok((done, all.saturating_sub(own)))
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts here are below 2^52")]
#[must_use]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let mut samples = Samples::default();
        assert_eq!(samples.median(), 0.0);
        for value in [5.0, 1.0, 3.0, 2.0, 100.0] {
            samples.push(value);
        }
        assert_eq!(samples.median(), 3.0);
        assert_eq!(samples.quantile(0.0), 1.0);
        assert_eq!(samples.quantile(1.0), 100.0);
    }

    #[test]
    fn measurements_take_turns_and_the_first_round_does_not_count() {
        let calls = std::cell::RefCell::new(String::new());
        let mut first = || {
            calls.borrow_mut().push('a');
            Ok(float(calls.borrow().len() as u64))
        };
        let mut second = || {
            calls.borrow_mut().push('b');
            Ok(2.0)
        };
        let turns = in_turns(2, &mut [&mut first, &mut second]).unwrap();
        assert_eq!(*calls.borrow(), "ababab");
        assert_eq!((turns.series[0].count(), turns.median(1)), (2, 2.0));
        assert_eq!(turns.ratios(), (1.5, 2.5));
    }

    #[test]
    fn cpu_time_of_other_threads_is_told_from_ones_own() {
        let spin = |for_how_long: Duration| {
            let began = thread_cpu();
            while thread_cpu() - began < for_how_long {}
        };
        let ((), others) = others_cpu(|| {
            spin(Duration::from_millis(20));
            std::thread::scope(|scope| {
                scope.spawn(|| spin(Duration::from_millis(40)));
            });
            Ok(())
        })
        .unwrap();
        assert!(others >= Duration::from_millis(40), "{others:?}");
    }
}

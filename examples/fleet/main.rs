//! How many conflicts and how much wait a fleet makes: `cargo run --release --example fleet -- --help`.
//!
//! A simulation of discrete events in virtual time, of 1 to 64 onelane and as many sessions as there is memory for.

mod balancer;
mod chart;
mod dice;
mod flags;
mod instance;
mod plots;
mod queue;
mod real;
mod request;
mod retries;
mod session;
mod tally;
#[cfg(test)]
mod tests;
mod times;
mod world;

use std::{
    io,
    path::Path,
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use clap::Parser as _;
use onelane::upstream::RetryConfig;

use self::{
    flags::{Flags, Happening},
    tally::Tally,
    world::Run,
};

fn main() -> ExitCode {
    let flags = Flags::parse();
    if let Err(what) = flags.crowd.check() {
        eprintln!("fleet: {what}");
        return ExitCode::from(64);
    }
    let runs = runs(&flags);
    let tallies = simulate(&runs, flags.threads);
    report(&runs, &tallies);
    let plotted = flags.svg.as_ref().map_or(Ok(()), |folder| plots::write(folder, &runs, &tallies));
    let compared =
        flags.real.as_ref().map_or(Ok(()), |binary| compare(binary, &flags.real_serve, &runs, &tallies));
    match plotted.and(compared) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runs(flags: &Flags) -> Vec<Run> {
    let mut runs = Vec::new();
    for &happening in &flags.event {
        for &instances in &flags.instances {
            // Of one alone nothing is left while it is away.
            if instances == 1 && matches!(happening, Happening::Lost | Happening::Deploy) {
                continue;
            }
            for &way in &flags.way {
                let sessions =
                    if happening == Happening::Steady { flags.sessions } else { flags.event_sessions };
                runs.push(Run {
                    way,
                    happening,
                    instances,
                    sessions,
                    seed: flags.seed,
                    crowd: flags.crowd.clone(),
                    retry: RetryConfig::default(),
                });
            }
        }
    }
    runs
}

/// Each run on a thread of its own, as many at once as there are cores.
fn simulate(runs: &[Run], threads: Option<usize>) -> Vec<Tally> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let left = Mutex::new(runs.iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.unwrap_or_else(cores).clamp(1, runs.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((nth, run)) = next else { return };
                    let tally = run.simulate();
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((nth, tally));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(nth, _)| *nth);
    done.into_iter().map(|(_, tally)| tally).collect()
}

/// The same for real, beside what the simulation says.
fn compare(binary: &Path, serve: &[String], runs: &[Run], tallies: &[Tally]) -> io::Result<()> {
    println!(
        "\n| | instances | | | conflicts per million requests | no playlist, per million | answered in: p50 | p99 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (run, simulated) in runs.iter().zip(tallies) {
        let can_be_done = matches!(run.happening, Happening::Steady | Happening::Lost);
        if !can_be_done || run.way.leased() && serve.is_empty() {
            continue;
        }
        let serve = if run.way.leased() { serve } else { &[] };
        for (what, tally) in [("simulated", simulated), ("real", &real::act(binary, serve, run)?)] {
            println!(
                "| {} | {} | {} | {what} | {:.0} | {:.0} | {:.0} ms | {:.0} ms |",
                run.happening.name(),
                run.instances,
                run.way.name(),
                tally.per_million(tally.conflicts),
                tally.per_million(tally.lost + tally.late),
                tally.took_ms(0.5),
                tally.took_ms(0.99),
            );
        }
    }
    Ok(())
}

fn report(runs: &[Run], tallies: &[Tally]) {
    println!(
        "| | instances | | conflicts per million requests | no playlist, per million | added wait p50 | p99 | commands to the engine per request |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (run, tally) in runs.iter().zip(tallies) {
        println!(
            "| {} | {} | {} | {:.0} | {:.0} | {:.1} ms | {:.1} ms | {:.2} |",
            run.happening.name(),
            run.instances,
            run.way.name(),
            tally.per_million(tally.conflicts),
            tally.per_million(tally.lost + tally.late),
            tally.added_ms(0.5),
            tally.added_ms(0.99),
            tally.commands as f64 / tally.requests.max(1) as f64,
        );
    }
}

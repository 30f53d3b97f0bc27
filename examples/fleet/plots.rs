use std::{fs, io, path::Path};

use crate::{
    chart::{Axis, Chart, Line, Scale},
    flags::{Happening, Way},
    tally::Tally,
    world::Run,
};

/// Writes what the runs have to show: a file for each plot that there are runs for.
pub(crate) fn write(folder: &Path, runs: &[Run], tallies: &[Tally]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let all = || runs.iter().zip(tallies);
    let ways = |happening: Happening| {
        let mut ways: Vec<Way> = Vec::new();
        for (run, _) in all().filter(|(run, _)| run.happening == happening) {
            if !ways.contains(&run.way) {
                ways.push(run.way);
            }
        }
        ways
    };
    let by_instances = |value: &dyn Fn(&Tally) -> f64| -> Vec<Line> {
        let line = |way: Way| {
            let own = all().filter(|(run, _)| run.happening == Happening::Steady && run.way == way);
            let points = own.map(|(run, tally)| (f64::from(run.instances), value(tally))).collect();
            Line { name: way.name().into(), points }
        };
        ways(Happening::Steady).into_iter().map(line).collect()
    };
    let mut counts: Vec<_> =
        runs.iter().filter(|run| run.happening == Happening::Steady).map(|run| run.instances).collect();
    counts.sort_unstable();
    counts.dedup();
    if counts.len() > 1 {
        let instances = || Axis {
            name: "onelane processes".into(),
            marks: counts.iter().map(|count| (f64::from(*count), count.to_string())).collect(),
            scale: Scale::Factors,
        };
        let lines = by_instances(&|tally| tally.per_million(tally.conflicts) / 1e3);
        let y = Axis { name: "conflicts per 1,000 requests".into(), ..even(&lines) };
        let title = "Conflicts at MediaTailor while nothing happens".into();
        put(folder, "fleet-conflicts.svg", &Chart { title, x: instances(), y, lines })?;

        let lines = by_instances(&|tally| tally.added_ms(0.99));
        let marks = [0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0].map(|ms| (ms, format!("{ms}"))).into();
        let y = Axis { name: "added wait, p99, ms".into(), marks, scale: Scale::Factors };
        let title = "Wait beyond that in a single lane, while nothing happens".into();
        put(folder, "fleet-wait.svg", &Chart { title, x: instances(), y, lines })?;
    }
    // The largest fleet but for those that nobody has.
    let most = runs
        .iter()
        .filter(|run| run.happening != Happening::Steady && run.instances <= 8)
        .map(|run| run.instances)
        .max();
    for (happening, name) in
        [(Happening::Lost, "killed"), (Happening::Added, "added"), (Happening::Deploy, "deploy")]
    {
        let own =
            |run: &Run| run.happening == happening && Some(run.instances) == most && run.way != Way::Alone;
        let lines: Vec<_> = all().filter(|(run, _)| own(run)).map(|(run, tally)| line(run, tally)).collect();
        let Some(last) =
            lines.iter().flat_map(|line| line.points.last()).map(|point| point.0).reduce(f64::max)
        else {
            continue;
        };
        let step = [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0]
            .into_iter()
            .find(|step| last / step <= 10.0)
            .unwrap_or(1_000.0);
        let marks = (0..=(last / step).ceil() as u32)
            .map(|nth| f64::from(nth) * step)
            .map(|at| (at, format!("{at}")))
            .collect();
        let x = Axis { name: "s".into(), marks, scale: Scale::Even };
        let y = Axis { name: "conflicts per 1,000 requests of that second".into(), ..even(&lines) };
        let title =
            format!("Conflicts at MediaTailor, {} processes: {}", most.unwrap_or(0), happening.name());
        put(folder, &format!("fleet-{name}.svg"), &Chart { title, x, y, lines })?;
    }
    Ok(())
}

/// Second by second, from the first that is counted.
fn line(run: &Run, tally: &Tally) -> Line {
    // The last second is no whole one.
    let few = tally.seconds.iter().map(|second| second.0).max().unwrap_or(0) / 4;
    let seconds = tally.seconds.iter().enumerate().filter(|(_, second)| second.0 > few);
    let from = run.crowd.refresh.as_secs_f64();
    let points = seconds
        .map(|(at, (requests, conflicts))| (at as f64 - from, *conflicts as f64 * 1e3 / *requests as f64));
    Line { name: run.way.name().into(), points: points.filter(|(at, _)| *at >= 0.0).collect() }
}

/// From nothing to the next round number.
fn even(lines: &[Line]) -> Axis {
    let most = lines.iter().flat_map(|line| &line.points).map(|point| point.1).fold(0.0, f64::max);
    let decade = 10_f64.powf(most.max(0.01).log10().floor());
    let step = [0.2, 0.5, 1.0, 2.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| most / step <= 6.0)
        .unwrap_or(decade * 5.0);
    let places = (0..=((most / step).ceil() as u32).max(1)).map(|nth| f64::from(nth) * step);
    let marks = places.map(|place| (place, format!("{}", (place * 1e6).round() / 1e6))).collect();
    Axis { name: String::new(), marks, scale: Scale::Even }
}

fn put(folder: &Path, name: &str, chart: &Chart) -> io::Result<()> {
    fs::write(folder.join(name), chart.svg())
}

use std::fmt::Write as _;

/// Lines over a horizontal axis, as an SVG that is legible on light and on dark pages.
///
/// Drawn here, since no library for plots lets the reader's theme choose the colours.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// An axis from its first to its last mark.
#[derive(Debug)]
pub(crate) struct Axis {
    /// What it is, with the unit.
    pub(crate) name: String,
    /// Places in order and what is written at them.
    pub(crate) marks: Vec<(f64, String)>,
    pub(crate) scale: Scale,
}

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Even,
    /// By factors; what is below the first mark stands on it.
    Factors,
}

/// One line, with a point at each value if there are few.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;

/// Left, right, top and bottom of where the lines are.
const FRAME: (f64, f64, f64, f64) = (92.0, 736.0, 84.0, 346.0);

/// Beyond so many points none is marked by itself.
const FEW: usize = 16;

/// Colours that the colour-blind tell apart, by theme; lines differ in their dashes as well.
const STYLE: &str = "\
.page{fill:#ffffff}.text{fill:#1f2328}.faint{fill:#59636e}.rule{stroke:#d1d9e0}.frame{stroke:#818b98}
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}.title{font-size:16px;font-weight:600}
.line{fill:none;stroke-width:2.5;stroke-linejoin:round;stroke-linecap:round}
.c0{stroke:#b3261e}.c1{stroke:#0a62c2}.c2{stroke:#1a7f37}.c3{stroke:#8250df}
.d1{stroke-dasharray:9 5}.d2{stroke-dasharray:2 6}.d3{stroke-dasharray:12 4 2 4}.point{stroke-width:2.5}
@media (prefers-color-scheme:dark){.page{fill:#0d1117}.text{fill:#f0f6fc}.faint{fill:#a5b0bb}.rule{stroke:#2b323b}.frame{stroke:#7d8590}
.c0{stroke:#ff8a80}.c1{stroke:#6cb6ff}.c2{stroke:#57d071}.c3{stroke:#c8a3ff}}
";

// === impl Chart ===

impl Chart {
    pub(crate) fn svg(&self) -> String {
        let (left, right, top, bottom) = FRAME;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n<rect class=\"page\" width=\"{WIDTH}\" height=\"{HEIGHT}\" rx=\"6\"/>\n",
            escaped(&self.title)
        );
        text(&mut svg, "title text", "start", (24.0, 30.0), &self.title);
        for (value, mark) in &self.y.marks {
            let at = self.down(*value);
            let _ = writeln!(svg, "<path class=\"rule\" d=\"M{left} {at:.1}H{right}\"/>");
            text(&mut svg, "faint", "end", (left - 8.0, at + 4.5), mark);
        }
        for (value, mark) in &self.x.marks {
            let at = self.along(*value);
            let _ = writeln!(svg, "<path class=\"frame\" d=\"M{at:.1} {bottom}v5\"/>");
            text(&mut svg, "faint", "middle", (at, bottom + 20.0), mark);
        }
        let _ = writeln!(svg, "<path class=\"frame\" d=\"M{left} {bottom}H{right}\"/>");
        text(&mut svg, "text", "middle", ((left + right) / 2.0, HEIGHT - 14.0), &self.x.name);
        let middle = (top + bottom) / 2.0;
        let _ = writeln!(
            svg,
            "<text class=\"text\" text-anchor=\"middle\" transform=\"translate(22 {middle:.1}) rotate(-90)\">{}</text>",
            escaped(&self.y.name)
        );
        let mut beside = left;
        for (nth, line) in self.lines.iter().enumerate() {
            let _ = writeln!(svg, "<path class=\"line c{nth} d{nth}\" d=\"M{beside:.1} 56h34\"/>");
            point(&mut svg, nth, (beside + 17.0, 56.0));
            text(&mut svg, "text", "start", (beside + 42.0, 60.5), &line.name);
            beside += 42.0 + 7.3 * line.name.chars().count() as f64 + 26.0;
            let places: Vec<_> = line.points.iter().map(|(x, y)| (self.along(*x), self.down(*y))).collect();
            let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
            let _ = writeln!(svg, "<path class=\"line c{nth} d{nth}\" d=\"M{}\"/>", path.join("L"));
            if places.len() <= FEW {
                places.into_iter().for_each(|place| point(&mut svg, nth, place));
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn along(&self, value: f64) -> f64 {
        FRAME.0 + self.x.part(value) * (FRAME.1 - FRAME.0)
    }

    fn down(&self, value: f64) -> f64 {
        FRAME.3 - self.y.part(value) * (FRAME.3 - FRAME.2)
    }
}

fn text(svg: &mut String, class: &str, anchor: &str, (x, y): (f64, f64), text: &str) {
    let text = escaped(text);
    let _ = writeln!(
        svg,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

/// Of another shape for each line.
fn point(svg: &mut String, nth: usize, (x, y): (f64, f64)) {
    let shape = match nth {
        0 => format!("M{:.1} {y:.1}a4 4 0 1 0 8 0a4 4 0 1 0 -8 0", x - 4.0),
        1 => format!("M{:.1} {:.1}h8v8h-8z", x - 4.0, y - 4.0),
        2 => format!("M{:.1} {:.1}l5 9h-10z", x, y - 6.0),
        _ => format!("M{:.1} {:.1}l5 5l-5 5l-5 -5z", x, y - 5.0),
    };
    let _ = writeln!(svg, "<path class=\"page point c{nth}\" d=\"{shape}\"/>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

// === impl Axis ===

impl Axis {
    /// Where a value is, as a part of the axis.
    fn part(&self, value: f64) -> f64 {
        let ends = self.marks.first().zip(self.marks.last());
        let (low, high) = ends.map_or((0.0, 1.0), |(low, high)| (low.0, high.0));
        let part = match self.scale {
            Scale::Even => (value - low) / (high - low),
            Scale::Factors => (value.max(low) / low).ln() / (high / low).ln(),
        };
        part.clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_where_their_marks_are() {
        let marks = |places: &[f64]| places.iter().map(|place| (*place, place.to_string())).collect();
        let even = Axis { name: "s".into(), marks: marks(&[0.0, 50.0, 200.0]), scale: Scale::Even };
        assert_eq!([0.0, 50.0, 200.0, 300.0].map(|value| even.part(value)), [0.0, 0.25, 1.0, 1.0]);
        let factors = Axis { name: "n".into(), marks: marks(&[1.0, 4.0, 64.0]), scale: Scale::Factors };
        assert_eq!([0.0, 1.0, 8.0, 64.0].map(|value| factors.part(value)), [0.0, 0.0, 0.5, 1.0]);
    }
}

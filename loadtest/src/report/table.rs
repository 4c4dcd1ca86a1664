//! Tables for a terminal: the first column to the left, figures to the right.

/// Lays rows out in columns; `indent` stands before each line. The first row is the head.
pub(crate) fn aligned(indent: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::from(indent);
        for (column, cell) in row.iter().enumerate() {
            let gap = " ".repeat(widths[column] - cell.chars().count());
            if column == 0 {
                line.push_str(cell);
                line.push_str(&gap);
            } else {
                line.push_str("  ");
                line.push_str(&gap);
                line.push_str(cell);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and what is to be said of them, both to the left.
pub(crate) fn pairs(indent: &str, rows: &[Vec<String>]) -> String {
    let width = rows.iter().filter_map(|row| row.first()).map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |row: &Vec<String>| {
        let gap = " ".repeat(width - row[0].chars().count());
        format!("{indent}{}{gap}  {}\n", row[0], row[1..].join("  "))
    };
    rows.iter().map(line).collect()
}

/// A row of anything that can be written.
pub(crate) fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(String::from).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_below_each_other() {
        let rows = [row(["latency", "p50", "max"]), row(["é", "1.20 µs", "3 s"]), row(["heartbeat"])];
        assert_eq!(
            aligned("  ", &rows),
            "  latency        p50  max\n  é          1.20 µs  3 s\n  heartbeat\n"
        );
    }
}

//! Columns of text for lists; on a narrow terminal a block of lines for each row.

use console::measure_text_width;

use crate::output::{Facts, Style};

/// Below so many columns a terminal has no room for columns.
const NARROW: usize = 60;

/// Rows under a header, columns two blanks apart. A last column that does not fit is cut with `…` on a terminal; below
/// 60 columns each row is a line with its first two cells and one for each other.
pub(crate) fn table(facts: &Facts, header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    if facts.terminal && facts.width < NARROW {
        return rows.iter().flat_map(|row| stacked(facts, header, row)).collect();
    }
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell));
        cells.chain([header[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let header: Vec<String> = header.iter().map(|name| facts.paint(Style::Strong, name)).collect();
    std::iter::once(&header).chain(rows).map(|row| line(facts, row, &widths)).collect()
}

fn stacked(facts: &Facts, header: &[&str], row: &[String]) -> Vec<String> {
    let label = header.iter().map(|name| name.len()).max().unwrap_or_default();
    let (head, rest) = row.split_at(row.len().min(2));
    let named = header.iter().skip(head.len()).zip(rest);
    let lines = named.map(|(name, cell)| format!("  {} {cell}", facts.paint(Style::Strong, format!("{name:<label$}"))));
    let cut = |line: String| console::truncate_str(&line, facts.width, "…").into_owned();
    std::iter::once(head.join("  ")).chain(lines).map(cut).collect()
}

fn line(facts: &Facts, row: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (cell, width) in row.iter().zip(widths) {
        out.push_str(cell);
        out.extend(std::iter::repeat_n(' ', width.saturating_sub(measure_text_width(cell)) + 2));
    }
    let out = out.trim_end();
    if facts.terminal { console::truncate_str(out, facts.width, "…").into_owned() } else { out.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_are_cut_on_a_terminal_only() {
        let rows = [vec!["1".to_owned(), "a long one".to_owned()], vec!["418".to_owned(), "short".to_owned()]];
        assert_eq!(table(&Facts::PLAIN, &["RUN", "WHAT"], &rows), ["RUN  WHAT", "1    a long one", "418  short"]);
        let narrow = Facts { terminal: true, width: 60, ..Facts::PLAIN };
        let rows = [vec!["1".to_owned(), "long ".repeat(20)]];
        assert_eq!(table(&narrow, &["RUN", "WHAT"], &rows)[1].chars().count(), 60);
    }

    #[test]
    fn a_narrow_terminal_gets_a_block_for_each_row() {
        let rows = [vec!["418".to_owned(), "waiting".to_owned(), "shop".to_owned(), "Fix a cache".to_owned()]];
        let narrow = Facts { terminal: true, width: 20, ..Facts::PLAIN };
        let lines = table(&narrow, &["RUN", "STATE", "REPO", "SUBJECT"], &rows);
        assert_eq!(lines, ["418  waiting", "  REPO    shop", "  SUBJECT Fix a cac…"]);
    }
}
